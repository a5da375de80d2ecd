"""What customers read, in their language: invoices, receipts and notices.

Facts come in as plain values (`policy.money.papers`), text and files go out. No database or network is asked here.
"""
