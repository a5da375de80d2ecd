"""Money: the ledger, invoices, what settles them, and the billing cycle. One file a subject."""
