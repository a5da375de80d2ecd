-- What is sold, for how long, and the cycle that bills it.

-- `billing`: charged by itself again and again, or paid before it is used. A period is so many hours (prepaid alone),
-- days, weeks or months. `anchor_day`: the day of the month on which periods begin (NULL: the day the service began);
-- in shorter months it is the last day. Tax in basis points of the net amount.
ALTER TABLE plans
    ADD COLUMN billing text NOT NULL DEFAULT 'recurring' CHECK (billing IN ('recurring', 'prepaid')),
    ADD COLUMN period_count integer NOT NULL DEFAULT 1 CHECK (period_count BETWEEN 1 AND 3660),
    ADD COLUMN period_unit text NOT NULL DEFAULT 'month' CHECK (period_unit IN ('hour', 'day', 'week', 'month')),
    ADD COLUMN anchor_day smallint CHECK (anchor_day BETWEEN 1 AND 31),
    ADD COLUMN tax_basis_points integer NOT NULL DEFAULT 0 CHECK (tax_basis_points BETWEEN 0 AND 10000),
    ADD COLUMN tax_included boolean NOT NULL DEFAULT true,
    ADD COLUMN setup_minor bigint NOT NULL DEFAULT 0 CHECK (setup_minor BETWEEN 0 AND 1000000000000000),
    ADD COLUMN trial_days integer NOT NULL DEFAULT 0 CHECK (trial_days BETWEEN 0 AND 366),
    ADD COLUMN dunning_policy_id bigint,
    ADD CHECK (period_unit <> 'hour' OR billing = 'prepaid'),
    ADD CHECK (anchor_day IS NULL OR period_unit = 'month');
UPDATE plans SET period_count = period_months;
ALTER TABLE plans DROP COLUMN period_months;

-- Reminders are days from the due day (negative: before it). Suspension waits for an allowed weekday (ISO: Monday is 1)
-- that is no holiday, and for `suspend_hour` of the operator's clock (NULL: at once). `close_days` after suspension the
-- service is closed (NULL: never).
CREATE TABLE dunning_policies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    name text COLLATE "C" NOT NULL CHECK (name <> '' AND octet_length(name) <= 253),
    grace_days integer NOT NULL DEFAULT 3 CHECK (grace_days BETWEEN 0 AND 365),
    overdue_days integer NOT NULL DEFAULT 0 CHECK (overdue_days BETWEEN 0 AND 365),
    close_days integer CHECK (close_days BETWEEN 1 AND 3650),
    reminder_days smallint[] NOT NULL DEFAULT '{-3,1,7}' CHECK (cardinality(reminder_days) <= 16
        AND -60 <= ALL (reminder_days) AND 365 >= ALL (reminder_days)),
    suspend_hour smallint CHECK (suspend_hour BETWEEN 0 AND 23),
    suspend_weekdays smallint[] NOT NULL DEFAULT '{1,2,3,4,5,6,7}'
        CHECK (cardinality(suspend_weekdays) > 0 AND suspend_weekdays <@ '{1,2,3,4,5,6,7}'),
    skip_holidays boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (operator_id, id),
    UNIQUE (operator_id, name)
);
ALTER TABLE plans ADD FOREIGN KEY (operator_id, dunning_policy_id) REFERENCES dunning_policies (operator_id, id);
CREATE TABLE holidays (
    operator_id bigint NOT NULL REFERENCES operators,
    day date NOT NULL CHECK (day BETWEEN '2000-01-01' AND '2199-12-31'),
    name text NOT NULL CHECK (name <> '' AND octet_length(name) <= 253),
    PRIMARY KEY (operator_id, day)
);

-- `standings_from`: what decides a service's standing, our own invoices or what another system says (0007).
-- `dunning_policy_id` replaces grace_days and overdue_days, which stay for operators without one. `charges_from`: since
-- this day the cycle charges services by itself (NULL: it charges nobody).
ALTER TABLE operators
    ADD COLUMN standings_from text NOT NULL DEFAULT 'invoices' CHECK (standings_from IN ('invoices', 'outside')),
    ADD COLUMN standing_feed_hours integer CHECK (standing_feed_hours BETWEEN 1 AND 8784),
    ADD COLUMN dunning_policy_id bigint,
    ADD COLUMN charges_from date CHECK (charges_from BETWEEN '2000-01-01' AND '2199-12-31'),
    ADD COLUMN billing_hour smallint NOT NULL DEFAULT 2 CHECK (billing_hour BETWEEN 0 AND 23),
    ADD COLUMN invoice_days_before integer NOT NULL DEFAULT 0 CHECK (invoice_days_before BETWEEN 0 AND 60),
    ADD COLUMN due_days integer NOT NULL DEFAULT 14 CHECK (due_days BETWEEN 0 AND 365),
    ADD COLUMN quiet_from time,
    ADD COLUMN quiet_until time,
    ADD COLUMN legal_name text NOT NULL DEFAULT '' CHECK (octet_length(legal_name) <= 1024),
    ADD COLUMN address text NOT NULL DEFAULT '' CHECK (octet_length(address) <= 2048),
    ADD COLUMN tax_name text NOT NULL DEFAULT 'VAT' CHECK (octet_length(tax_name) <= 64),
    ADD COLUMN tax_number text NOT NULL DEFAULT '' CHECK (octet_length(tax_number) <= 64),
    ADD COLUMN payment_details text NOT NULL DEFAULT '' CHECK (octet_length(payment_details) <= 2048),
    ADD FOREIGN KEY (id, dunning_policy_id) REFERENCES dunning_policies (operator_id, id),
    ADD CHECK ((quiet_from IS NULL) = (quiet_until IS NULL));
ALTER TABLE subscribers
    ADD COLUMN area text COLLATE "C" NOT NULL DEFAULT '' CHECK (octet_length(area) <= 253),
    ADD COLUMN address text NOT NULL DEFAULT '' CHECK (octet_length(address) <= 2048),
    ADD COLUMN tax_number text NOT NULL DEFAULT '' CHECK (octet_length(tax_number) <= 64);
CREATE INDEX subscribers_area ON subscribers (operator_id, area, id) WHERE area <> '';

-- Where a service stands in its periods. `starts_on`: the first day that is charged (after the trial). `billed_until`: up
-- to, and without, this day all is invoiced (NULL: nothing yet). `next_on`: when the cycle looks again (NULL: never).
-- `next_plan_id`: a plan that begins on `next_plan_on`, with a period. `price_minor`: agreed with this customer instead of
-- the plan's.
CREATE TABLE service_billing (
    service_id bigint PRIMARY KEY,
    operator_id bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    starts_on date NOT NULL,
    anchor_day smallint NOT NULL CHECK (anchor_day BETWEEN 1 AND 31),
    billed_until date CHECK (billed_until >= starts_on),
    next_on date,
    setup_charged boolean NOT NULL DEFAULT false,
    price_minor bigint CHECK (price_minor BETWEEN 0 AND 1000000000000000),
    next_plan_id bigint,
    next_plan_by text,
    next_plan_on date,
    updated_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, subscriber_id) REFERENCES subscribers (operator_id, id),
    FOREIGN KEY (operator_id, next_plan_id) REFERENCES plans (operator_id, id),
    CHECK ((next_plan_id IS NULL) = (next_plan_by IS NULL)),
    CHECK ((next_plan_id IS NULL) = (next_plan_on IS NULL))
);
CREATE INDEX service_billing_due ON service_billing (operator_id, next_on, subscriber_id, service_id)
    WHERE next_on IS NOT NULL;

-- Less for one service: a share or an amount of each period, for so many periods or up to a day, or for ever.
CREATE TABLE discounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    service_id bigint NOT NULL,
    percent_basis_points integer CHECK (percent_basis_points BETWEEN 1 AND 10000),
    amount_minor bigint CHECK (amount_minor BETWEEN 1 AND 1000000000000000),
    periods_left integer CHECK (periods_left >= 0),
    until_on date,
    reason text NOT NULL CHECK (reason <> '' AND octet_length(reason) <= 1024),
    granted_by text NOT NULL CHECK (granted_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    CHECK ((percent_basis_points IS NULL) <> (amount_minor IS NULL))
);
CREATE INDEX discounts_service ON discounts (operator_id, service_id, id);
CREATE INDEX discounts_open ON discounts (service_id) WHERE ended_at IS NULL;

-- One-off fees, charged with the next invoice.
CREATE TABLE fees (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    service_id bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 1000000000000000),
    tax_basis_points integer NOT NULL DEFAULT 0 CHECK (tax_basis_points BETWEEN 0 AND 10000),
    tax_included boolean NOT NULL DEFAULT true,
    description text NOT NULL CHECK (description <> '' AND octet_length(description) <= 1024),
    added_by text NOT NULL CHECK (added_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    invoice_id bigint,
    cancelled_at timestamptz,
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, invoice_id) REFERENCES invoices (operator_id, id)
);
CREATE INDEX fees_service ON fees (operator_id, service_id, id);
CREATE INDEX fees_open ON fees (service_id) WHERE invoice_id IS NULL AND cancelled_at IS NULL;

-- What a credit is made of where it gives back days that were invoiced: as the lines of an invoice, below zero in sum.
CREATE TABLE credit_lines (
    operator_id bigint NOT NULL REFERENCES operators,
    payment_id bigint NOT NULL,
    line smallint NOT NULL CHECK (line > 0),
    kind text NOT NULL CHECK (kind IN ('period', 'prepaid', 'fee', 'discount', 'proration')),
    description text NOT NULL CHECK (octet_length(description) <= 1024),
    service_id bigint NOT NULL,
    plan_id bigint,
    period_start date,
    period_end date CHECK (period_end > period_start),
    net_minor bigint NOT NULL,
    tax_basis_points integer NOT NULL DEFAULT 0 CHECK (tax_basis_points BETWEEN 0 AND 10000),
    tax_minor bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (payment_id, line),
    FOREIGN KEY (operator_id, payment_id) REFERENCES payments (operator_id, id),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, plan_id) REFERENCES plans (operator_id, id),
    CHECK ((period_start IS NULL) = (period_end IS NULL))
);
CREATE INDEX credit_lines_service ON credit_lines (operator_id, service_id, period_start);
CREATE TRIGGER credit_lines_stay BEFORE UPDATE OR DELETE ON credit_lines FOR EACH ROW EXECUTE FUNCTION ledger_stays();
CREATE TRIGGER credit_lines_full BEFORE TRUNCATE ON credit_lines FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();

-- One row for each operator and local day of the cycle: run twice, it goes on where it stood; reminders go on behind the
-- invoice `reminded_through`.
CREATE TABLE billing_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    day date NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    invoices bigint NOT NULL DEFAULT 0 CHECK (invoices >= 0),
    amount_minor numeric NOT NULL DEFAULT 0,
    reminders bigint NOT NULL DEFAULT 0 CHECK (reminders >= 0),
    reminded_through bigint,
    closed bigint NOT NULL DEFAULT 0 CHECK (closed >= 0),
    problems bigint NOT NULL DEFAULT 0 CHECK (problems >= 0),
    UNIQUE (operator_id, id),
    UNIQUE (operator_id, day)
);
-- What could not be billed; the cycle goes on without it and tries it again with the next run.
CREATE TABLE billing_problems (
    operator_id bigint NOT NULL REFERENCES operators,
    service_id bigint NOT NULL,
    day date NOT NULL,
    explanation text NOT NULL CHECK (octet_length(explanation) <= 4096),
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    PRIMARY KEY (service_id, day),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id)
);
CREATE INDEX billing_problems_open ON billing_problems (operator_id, day, service_id) WHERE resolved_at IS NULL;

-- Holds: what kind of promise. `grace`, `promise` and `dispute` end; `vip` and `reminders_only` may be for good (`until`
-- NULL). A disputed invoice alone asks for nothing. `vip` is not reminded either. `settled`: how a promise ended.
ALTER TABLE holds
    ADD COLUMN kind text NOT NULL DEFAULT 'grace'
        CHECK (kind IN ('grace', 'promise', 'dispute', 'reminders_only', 'vip')),
    ADD COLUMN amount_minor bigint CHECK (amount_minor > 0),
    ADD COLUMN invoice_id bigint,
    ADD COLUMN settled text CHECK (settled IN ('kept', 'broken')),
    ADD COLUMN settled_at timestamptz,
    ALTER COLUMN until DROP NOT NULL,
    ADD FOREIGN KEY (operator_id, invoice_id) REFERENCES invoices (operator_id, id),
    ADD CHECK (until IS NOT NULL OR kind IN ('reminders_only', 'vip')),
    ADD CHECK ((amount_minor IS NOT NULL) <= (kind = 'promise')),
    ADD CHECK ((invoice_id IS NOT NULL) = (kind = 'dispute')),
    ADD CHECK ((settled IS NULL) = (settled_at IS NULL)),
    ADD CHECK (settled IS NULL OR kind = 'promise');
CREATE INDEX holds_open ON holds (service_id) WHERE ended_at IS NULL;
CREATE INDEX services_suspended ON services (operator_id, id) WHERE standing = 'suspended';
CREATE INDEX holds_disputes ON holds (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX holds_promises ON holds (operator_id, until) WHERE kind = 'promise' AND settled IS NULL;

-- More days or a credit for all services of a router or an area; planned, approved by its hash, and taken back.
CREATE TABLE compensations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    name text COLLATE "C" NOT NULL CHECK (name <> '' AND octet_length(name) <= 253),
    router_id bigint,
    area text CHECK (area <> ''),
    days integer CHECK (days BETWEEN 1 AND 366),
    amount_minor bigint CHECK (amount_minor > 0),
    reason text NOT NULL CHECK (reason <> '' AND octet_length(reason) <= 1024),
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'approved', 'dropped', 'undone')),
    preview jsonb NOT NULL,
    preview_hash text NOT NULL,
    requested_by text NOT NULL CHECK (requested_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_by text,
    decided_at timestamptz,
    undone_by text,
    undone_at timestamptz,
    UNIQUE (operator_id, id),
    UNIQUE (operator_id, name),
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id),
    CHECK ((router_id IS NULL) <> (area IS NULL)),
    CHECK ((days IS NULL) <> (amount_minor IS NULL)),
    CHECK ((state = 'planned') = (decided_at IS NULL)),
    CHECK ((decided_at IS NULL) = (decided_by IS NULL)),
    CHECK ((state = 'undone') = (undone_at IS NOT NULL)),
    CHECK ((undone_at IS NULL) = (undone_by IS NULL))
);
-- The before-image and the after-image of each service; undo restores only where the after-image still stands.
CREATE TABLE compensation_rows (
    compensation_id bigint NOT NULL,
    service_id bigint NOT NULL,
    operator_id bigint NOT NULL REFERENCES operators,
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'applied', 'undone', 'stuck')),
    billed_before date,
    billed_after date,
    starts_before date,
    starts_after date,
    prepaid_before timestamptz,
    prepaid_after timestamptz,
    payment_id bigint,
    explanation text NOT NULL DEFAULT '',
    PRIMARY KEY (compensation_id, service_id),
    FOREIGN KEY (operator_id, compensation_id) REFERENCES compensations (operator_id, id),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, payment_id) REFERENCES payments (operator_id, id)
);
CREATE INDEX compensation_rows_service ON compensation_rows (operator_id, service_id);

-- A dispute counts for all services of the customer, whichever it came by.
CREATE FUNCTION review_by_dispute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM review_service(service.operator_id, service.id)
        FROM invoices AS invoice JOIN services AS service
            ON service.operator_id = invoice.operator_id AND service.subscriber_id = invoice.subscriber_id
        WHERE invoice.id = NEW.invoice_id ORDER BY service.id;
    RETURN NULL;
END $$;
CREATE TRIGGER holds_dispute_review AFTER INSERT OR UPDATE ON holds
    FOR EACH ROW WHEN (NEW.invoice_id IS NOT NULL) EXECUTE FUNCTION review_by_dispute();

-- What happens to a service makes its mark the newest, also where the clock had marked it before: the newest go first.
CREATE OR REPLACE FUNCTION review_service(operator bigint, service bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO reviews (service_id, operator_id, due_at) VALUES (service, operator, now())
    ON CONFLICT (service_id) DO UPDATE SET due_at = excluded.due_at
$$;

-- Whatever moves a suspension marks the services that it may move: those that owe something.
CREATE FUNCTION review_debtors() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    operator bigint := CASE WHEN TG_TABLE_NAME = 'operators' THEN (to_jsonb(NEW) ->> 'id')::bigint
        ELSE (to_jsonb(coalesce(NEW, OLD)) ->> 'operator_id')::bigint END;
BEGIN
    INSERT INTO reviews (service_id, operator_id, due_at)
        SELECT id, operator_id, now() FROM services
        WHERE operator_id = operator AND standing NOT IN ('current', 'closed') ORDER BY id
        ON CONFLICT (service_id) DO UPDATE SET due_at = least(reviews.due_at, excluded.due_at);
    RETURN NULL;
END $$;
CREATE TRIGGER dunning_policies_review AFTER UPDATE ON dunning_policies
    FOR EACH ROW EXECUTE FUNCTION review_debtors();
CREATE TRIGGER holidays_review AFTER INSERT OR UPDATE OR DELETE ON holidays
    FOR EACH ROW EXECUTE FUNCTION review_debtors();
CREATE TRIGGER operators_dunning_review AFTER UPDATE ON operators FOR EACH ROW
    WHEN ((OLD.dunning_policy_id, OLD.grace_days, OLD.overdue_days, OLD.time_zone)
        IS DISTINCT FROM (NEW.dunning_policy_id, NEW.grace_days, NEW.overdue_days, NEW.time_zone))
    EXECUTE FUNCTION review_debtors();
CREATE TRIGGER plans_dunning_review AFTER UPDATE OF dunning_policy_id ON plans FOR EACH ROW
    WHEN (OLD.dunning_policy_id IS DISTINCT FROM NEW.dunning_policy_id) EXECUTE FUNCTION review_by_plan();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['dunning_policies', 'holidays', 'service_billing', 'discounts', 'fees', 'credit_lines',
        'billing_runs', 'billing_problems', 'compensations', 'compensation_rows']
    LOOP
        PERFORM operator_wall(name);
    END LOOP;
END $$;
GRANT INSERT, UPDATE ON dunning_policies, service_billing, discounts, fees, billing_runs, billing_problems,
    compensations, compensation_rows TO ispagents_web;
GRANT INSERT, UPDATE, DELETE ON holidays TO ispagents_web;
GRANT INSERT ON credit_lines TO ispagents_web;
GRANT INSERT, UPDATE ON service_billing, billing_runs, billing_problems, compensation_rows TO ispagents_worker;
GRANT UPDATE (periods_left, ended_at) ON discounts TO ispagents_worker;
GRANT UPDATE (invoice_id) ON fees TO ispagents_worker;
GRANT UPDATE (settled, settled_at, ended_at) ON holds TO ispagents_worker;
GRANT UPDATE (closed_at, plan_id, prepaid_until) ON services TO ispagents_worker;

-- Operators whose cycle is due: it is past `billing_hour` of a local day that has no finished run. The worker asks
-- before it chooses one.
CREATE FUNCTION operators_to_bill() RETURNS TABLE (operator_id bigint, day date)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT operator.id, (now() AT TIME ZONE operator.time_zone)::date
        FROM public.operators AS operator
        WHERE extract(hour FROM now() AT TIME ZONE operator.time_zone) >= operator.billing_hour
          AND NOT EXISTS (SELECT FROM public.billing_runs AS run WHERE run.operator_id = operator.id
                          AND run.day = (now() AT TIME ZONE operator.time_zone)::date AND run.finished_at IS NOT NULL)
    $$;
REVOKE EXECUTE ON FUNCTION operators_to_bill() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operators_to_bill() TO ispagents_worker;
