"""Mounts every noun on the command line."""

from __future__ import annotations

import typer

from ispagents.cli import (
    api_token,
    audit,
    batch,
    billing,
    change,
    channel,
    compensation,
    credit,
    db,
    discount,
    document,
    drift,
    dunning,
    explain,
    fee,
    freeradius_server,
    hold,
    holiday,
    invoice,
    ledger,
    network,
    note,
    notice,
    online,
    operator,
    override,
    payment,
    payment_file,
    payment_review,
    person,
    plan,
    provider,
    quota,
    report,
    router,
    router_api,
    router_garden,
    router_health,
    router_import,
    router_inspect,
    router_script,
    router_test,
    service,
    service_money,
    service_place,
    spool,
    standing,
    subscriber,
    subscriber_import,
    template,
    timeline,
)

NOUNS = {
    "operator": operator.app,
    "plan": plan.app,
    "subscriber": subscriber.app,
    "service": service.app,
    "router": router.app,
    "invoice": invoice.app,
    "payment": payment.app,
    "credit": credit.app,
    "provider": provider.app,
    "token": api_token.app,
    "hold": hold.app,
    "dunning": dunning.app,
    "holiday": holiday.app,
    "standing": standing.app,
    "note": note.app,
    "change": change.app,
    "person": person.app,
    "batch": batch.app,
    "billing": billing.app,
    "discount": discount.app,
    "fee": fee.app,
    "override": override.app,
    "network": network.app,
    "freeradius": freeradius_server.app,
    "drift": drift.app,
    "audit": audit.app,
    "ledger": ledger.app,
    "report": report.app,
    "compensation": compensation.app,
    "channel": channel.app,
    "template": template.app,
    "notice": notice.app,
    "spool": spool.app,
    "quota": quota.app,
    "usage": online.usage_app,
    "db": db.app,
}


def mount(app: typer.Typer) -> None:
    """Add all commands."""
    change.app.command("undo")(override.undo)
    service.app.command("plan")(service_money.change_plan)
    service.app.command("place")(service_place.place)
    service.app.command("topup")(service_money.topup)
    invoice.app.command("document")(document.invoice_document)
    payment.app.command("receipt")(document.payment_receipt)
    payment.app.command("import")(payment_file.import_file)
    payment.app.command("apply")(payment_file.apply_file)
    payment.app.add_typer(payment_review.app, name="review")
    subscriber.app.command("import")(subscriber_import.import_file)
    subscriber.app.command("import-apply")(subscriber_import.apply_file)
    router.app.command("test")(router_test.examine_router)
    router.app.command("health")(router_health.router_health)
    router.app.command("inspect")(router_inspect.inspect)
    router.app.command("import")(router_import.import_router)
    router.app.command("import-apply")(router_import.apply_import)
    router.app.command("import-undo")(router_import.undo_import)
    router.app.command("script")(router_script.bootstrap_script)
    router.app.add_typer(router_api.app, name="api")
    router.app.command("garden")(router_garden.garden)
    for name, commands in NOUNS.items():
        app.add_typer(commands, name=name)
    app.command("timeline")(timeline.timeline)
    app.command("explain")(explain.explain)
    app.command("online")(online.who_is_online)
    app.command("sessions")(online.sessions)
