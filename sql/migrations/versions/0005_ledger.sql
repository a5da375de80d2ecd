-- The ledger, and what settles what.

-- For this and later migrations: the wall between operators round a table, and reading for the two roles behind it.
CREATE FUNCTION operator_wall(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY operator_wall ON %I TO ispagents_web, ispagents_worker '
        'USING (operator_id = (SELECT current_operator())) '
        'WITH CHECK (operator_id = (SELECT current_operator()))', name);
    EXECUTE format('CREATE POLICY owner_migrates ON %I TO ispagents_owner USING (true) WITH CHECK (true)', name);
    EXECUTE format('GRANT SELECT ON %I TO ispagents_web, ispagents_worker', name);
END $$;
REVOKE EXECUTE ON FUNCTION operator_wall(text) FROM PUBLIC;

-- Invoices: numbered without gaps for each operator and year. `open_minor` is what is left to pay, kept by the trigger
-- below alone; `party` is who was asked, as written that day. Days are the operator's own.
ALTER TABLE invoices DROP COLUMN number;
ALTER TABLE invoices
    ADD COLUMN year integer NOT NULL DEFAULT 2000 CHECK (year BETWEEN 2000 AND 2199),
    ADD COLUMN serial integer NOT NULL DEFAULT 1 CHECK (serial > 0),
    ADD COLUMN open_minor bigint,
    ADD COLUMN tax_minor bigint NOT NULL DEFAULT 0 CHECK (tax_minor >= 0),
    ADD COLUMN issued_on date,
    ADD COLUMN due_on date,
    ADD COLUMN language text NOT NULL DEFAULT 'en' CHECK (language ~ '^[a-z]{2}$'),
    ADD COLUMN party jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(party) = 'object'),
    ADD COLUMN void_reason text NOT NULL DEFAULT '' CHECK (octet_length(void_reason) <= 1024);
WITH numbered AS (
    SELECT id, extract(year FROM issued_at)::integer AS year,
           row_number() OVER (PARTITION BY operator_id, extract(year FROM issued_at) ORDER BY id) AS serial
    FROM invoices)
UPDATE invoices SET year = numbered.year, serial = numbered.serial,
    issued_on = (issued_at AT TIME ZONE operators.time_zone)::date, due_on = (due_at AT TIME ZONE operators.time_zone)::date,
    open_minor = CASE WHEN voided_at IS NOT NULL THEN 0 ELSE amount_minor - coalesce(
        (SELECT sum(allocations.amount_minor) FROM allocations WHERE invoice_id = invoices.id), 0) END
FROM numbered, operators WHERE numbered.id = invoices.id AND operators.id = invoices.operator_id;
ALTER TABLE invoices
    ALTER COLUMN year DROP DEFAULT,
    ALTER COLUMN serial DROP DEFAULT,
    ALTER COLUMN open_minor SET NOT NULL,
    ALTER COLUMN open_minor SET DEFAULT 0,
    ALTER COLUMN issued_on SET NOT NULL,
    ALTER COLUMN due_on SET NOT NULL,
    ADD COLUMN number text COLLATE "C" NOT NULL GENERATED ALWAYS AS (year || '-' || serial) STORED,
    ADD CONSTRAINT invoices_number_key UNIQUE (operator_id, year, serial),
    ADD CHECK (open_minor BETWEEN 0 AND amount_minor),
    ADD CHECK (voided_at IS NULL OR open_minor = 0),
    ADD CHECK (tax_minor <= amount_minor);
CREATE INDEX invoices_open ON invoices (operator_id, due_on, id) WHERE open_minor > 0;
CREATE INDEX invoices_open_subscriber ON invoices (operator_id, subscriber_id, due_at) WHERE open_minor > 0;
CREATE INDEX invoices_issued ON invoices (operator_id, issued_on, id);

CREATE TABLE invoice_series (
    operator_id bigint NOT NULL REFERENCES operators,
    year integer NOT NULL CHECK (year BETWEEN 2000 AND 2199),
    last integer NOT NULL CHECK (last > 0),
    PRIMARY KEY (operator_id, year)
);
INSERT INTO invoice_series SELECT operator_id, year, max(serial) FROM invoices GROUP BY 1, 2;

-- What an invoice is made of. Days: `period_start` up to, and without, `period_end`. Discounts are negative.
CREATE TABLE invoice_lines (
    operator_id bigint NOT NULL REFERENCES operators,
    invoice_id bigint NOT NULL,
    line smallint NOT NULL CHECK (line > 0),
    kind text NOT NULL CHECK (kind IN ('period', 'prepaid', 'fee', 'discount', 'proration', 'plain')),
    description text NOT NULL CHECK (octet_length(description) <= 1024),
    service_id bigint,
    plan_id bigint,
    period_start date,
    period_end date CHECK (period_end > period_start),
    net_minor bigint NOT NULL,
    tax_basis_points integer NOT NULL DEFAULT 0 CHECK (tax_basis_points BETWEEN 0 AND 10000),
    tax_minor bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (invoice_id, line),
    FOREIGN KEY (operator_id, invoice_id) REFERENCES invoices (operator_id, id),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, plan_id) REFERENCES plans (operator_id, id),
    CHECK ((period_start IS NULL) = (period_end IS NULL))
);
CREATE INDEX invoice_lines_service ON invoice_lines (operator_id, service_id, period_start) WHERE service_id IS NOT NULL;

-- What settles invoices: money that came in, a credit that was given, or a claim that was given up (`kind`).
-- `unspent_minor` is what no invoice has used, kept by the triggers below; `reversed_minor` what was paid back since.
-- `invoice_id`: the only invoice that it may settle (NULL: the oldest due first).
ALTER TABLE payments
    ADD COLUMN kind text NOT NULL DEFAULT 'money' CHECK (kind IN ('money', 'credit', 'write_off')),
    ADD COLUMN unspent_minor bigint,
    ADD COLUMN reversed_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN receipt_number text CHECK (receipt_number <> '' AND octet_length(receipt_number) <= 253),
    ADD COLUMN invoice_id bigint,
    ADD COLUMN booked_by text NOT NULL DEFAULT 'unknown' CHECK (booked_by <> ''),
    ADD FOREIGN KEY (operator_id, subscriber_id, invoice_id) REFERENCES invoices (operator_id, subscriber_id, id);
UPDATE payments SET unspent_minor = amount_minor - coalesce(
    (SELECT sum(allocations.amount_minor) FROM allocations WHERE payment_id = payments.id), 0);
ALTER TABLE payments
    ALTER COLUMN unspent_minor SET NOT NULL,
    ALTER COLUMN unspent_minor SET DEFAULT 0,
    ALTER COLUMN booked_by DROP DEFAULT,
    ADD CHECK (unspent_minor >= 0 AND reversed_minor >= 0 AND unspent_minor + reversed_minor <= amount_minor);
CREATE INDEX payments_unspent ON payments (operator_id, subscriber_id, received_at) WHERE unspent_minor > 0;
CREATE INDEX payments_received ON payments (operator_id, received_at, id);
CREATE UNIQUE INDEX payments_receipt ON payments (operator_id, receipt_number) WHERE receipt_number IS NOT NULL;

-- Money that went back: refunds, chargebacks, and bookings taken back.
CREATE TABLE payment_reversals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    subscriber_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('refund', 'chargeback', 'correction')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    external_id text CHECK (external_id <> '' AND octet_length(external_id) <= 253),
    reason text NOT NULL CHECK (reason <> '' AND octet_length(reason) <= 1024),
    booked_by text NOT NULL CHECK (booked_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (operator_id, id),
    FOREIGN KEY (operator_id, subscriber_id, payment_id) REFERENCES payments (operator_id, subscriber_id, id)
);
CREATE UNIQUE INDEX payment_reversals_external ON payment_reversals (operator_id, external_id)
    WHERE external_id IS NOT NULL;
CREATE INDEX payment_reversals_payment ON payment_reversals (payment_id);

-- Allocations only grow: what is taken back from an invoice is a negative row.
ALTER TABLE allocations DROP CONSTRAINT allocations_pkey;
ALTER TABLE allocations DROP CONSTRAINT allocations_amount_minor_check;
ALTER TABLE allocations ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ADD CHECK (amount_minor <> 0);
CREATE INDEX allocations_payment ON allocations (payment_id);
DROP TRIGGER allocations_within ON allocations;
DROP FUNCTION check_allocation();
DROP TRIGGER allocations_review ON allocations;

-- The sums are kept here and nowhere else: no running role may write them. Each statement's rows are taken together, and
-- in the order of ids, so that two transactions never wait for one another in a circle.
CREATE FUNCTION settle_allocations() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM FROM payments WHERE id IN (SELECT payment_id FROM added) ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM invoices WHERE id IN (SELECT invoice_id FROM added) ORDER BY id FOR NO KEY UPDATE;
    UPDATE payments SET unspent_minor = unspent_minor - used.amount_minor
        FROM (SELECT payment_id, sum(amount_minor) AS amount_minor FROM added GROUP BY payment_id) AS used
        WHERE payments.id = used.payment_id;
    UPDATE invoices SET open_minor = open_minor - paid.amount_minor
        FROM (SELECT invoice_id, sum(amount_minor) AS amount_minor FROM added GROUP BY invoice_id) AS paid
        WHERE invoices.id = paid.invoice_id;
    RETURN NULL;
END $$;
CREATE TRIGGER settle_allocations AFTER INSERT ON allocations
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION settle_allocations();
CREATE FUNCTION settle_reversals() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE payments SET unspent_minor = unspent_minor - back.amount_minor,
                        reversed_minor = reversed_minor + back.amount_minor
        FROM (SELECT payment_id, sum(amount_minor) AS amount_minor FROM added GROUP BY payment_id) AS back
        WHERE payments.id = back.payment_id;
    RETURN NULL;
END $$;
CREATE TRIGGER settle_reversals AFTER INSERT ON payment_reversals
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION settle_reversals();
CREATE FUNCTION begin_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.open_minor := NEW.amount_minor;
    RETURN NEW;
END $$;
CREATE TRIGGER begin_invoice BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION begin_invoice();
CREATE FUNCTION begin_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.unspent_minor := NEW.amount_minor;
    NEW.reversed_minor := 0;
    RETURN NEW;
END $$;
CREATE TRIGGER begin_payment BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION begin_payment();
-- A void invoice asks for nothing. It can be voided only while nothing is allocated to it.
CREATE FUNCTION void_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.voided_at IS NOT NULL OR NEW.voided_at IS NULL THEN
        RAISE EXCEPTION 'a void invoice stays void' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.open_minor <> OLD.amount_minor THEN
        RAISE EXCEPTION 'something is paid on this invoice' USING ERRCODE = 'check_violation';
    END IF;
    NEW.open_minor := 0;
    RETURN NEW;
END $$;
CREATE TRIGGER void_invoice BEFORE UPDATE OF voided_at ON invoices FOR EACH ROW EXECUTE FUNCTION void_invoice();
DROP TRIGGER invoices_review ON invoices;
CREATE TRIGGER invoices_review AFTER INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION review_by_subscriber();
CREATE TRIGGER invoices_moved_review AFTER UPDATE ON invoices
    FOR EACH ROW WHEN ((OLD.open_minor, OLD.due_at) IS DISTINCT FROM (NEW.open_minor, NEW.due_at))
    EXECUTE FUNCTION review_by_subscriber();

-- The journal: double entry, append-only. Debits are positive, credits negative; the postings of an entry arrive in one
-- statement and add up to nothing in each currency. A correction is an entry that reverses another.
CREATE TABLE ledger_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    kind text NOT NULL CHECK (kind IN
        ('invoice', 'void', 'payment', 'credit', 'write_off', 'allocation', 'release', 'refund', 'chargeback', 'correction')),
    booked_on date NOT NULL,
    subscriber_id bigint NOT NULL,
    invoice_id bigint,
    payment_id bigint,
    reversal_id bigint,
    reverses_entry_id bigint UNIQUE,
    booked_by text NOT NULL CHECK (booked_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (operator_id, id),
    FOREIGN KEY (operator_id, subscriber_id) REFERENCES subscribers (operator_id, id),
    FOREIGN KEY (operator_id, invoice_id) REFERENCES invoices (operator_id, id),
    FOREIGN KEY (operator_id, payment_id) REFERENCES payments (operator_id, id),
    FOREIGN KEY (operator_id, reversal_id) REFERENCES payment_reversals (operator_id, id),
    FOREIGN KEY (operator_id, reverses_entry_id) REFERENCES ledger_entries (operator_id, id)
);
CREATE INDEX ledger_entries_subscriber ON ledger_entries (operator_id, subscriber_id, id);
CREATE INDEX ledger_entries_day ON ledger_entries (operator_id, booked_on, id);
CREATE INDEX ledger_entries_invoice ON ledger_entries (invoice_id) WHERE invoice_id IS NOT NULL;

-- `method` says which till or bank for `cash`. `plan_id`: what was sold, for `revenue`.
CREATE TABLE ledger_postings (
    entry_id bigint NOT NULL,
    line smallint NOT NULL CHECK (line > 0),
    operator_id bigint NOT NULL REFERENCES operators,
    booked_on date NOT NULL,
    account text NOT NULL CHECK (account IN ('receivable', 'revenue', 'tax', 'cash', 'credit', 'discount', 'write_off')),
    method text NOT NULL DEFAULT '' CHECK ((method <> '') = (account = 'cash')),
    subscriber_id bigint NOT NULL,
    plan_id bigint,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (entry_id, line),
    FOREIGN KEY (operator_id, entry_id) REFERENCES ledger_entries (operator_id, id)
);
CREATE INDEX ledger_postings_account ON ledger_postings (operator_id, booked_on, account) INCLUDE (method, plan_id,
    currency, amount_minor);
CREATE INDEX ledger_postings_subscriber ON ledger_postings (operator_id, subscriber_id, account)
    INCLUDE (currency, amount_minor);

CREATE FUNCTION entries_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added GROUP BY entry_id, currency HAVING sum(amount_minor) <> 0 OR min(line) <> 1) THEN
        RAISE EXCEPTION 'the postings of an entry must add up to nothing' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entries_balance AFTER INSERT ON ledger_postings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION entries_balance();

CREATE FUNCTION ledger_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what is booked is never changed or removed; book a correction' USING ERRCODE = 'restrict_violation';
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ledger_entries', 'ledger_postings', 'invoice_lines', 'allocations', 'payment_reversals']
    LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION ledger_stays()',
            name || '_stay', name);
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays()',
            name || '_full', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['invoice_series', 'invoice_lines', 'payment_reversals', 'ledger_entries', 'ledger_postings']
    LOOP
        PERFORM operator_wall(name);
    END LOOP;
END $$;

-- What was booked before there was a ledger.
INSERT INTO ledger_entries (operator_id, kind, booked_on, subscriber_id, invoice_id, booked_by, created_at)
    SELECT operator_id, 'invoice', issued_on, subscriber_id, id, 'migration', issued_at FROM invoices WHERE voided_at IS NULL;
INSERT INTO ledger_entries (operator_id, kind, booked_on, subscriber_id, payment_id, booked_by, created_at)
    SELECT operator_id, 'payment', (received_at AT TIME ZONE 'UTC')::date, subscriber_id, id, 'migration', received_at
    FROM payments;
INSERT INTO ledger_entries (operator_id, kind, booked_on, subscriber_id, invoice_id, payment_id, booked_by, created_at)
    SELECT operator_id, 'allocation', (created_at AT TIME ZONE 'UTC')::date, subscriber_id, invoice_id, payment_id,
        'migration', created_at FROM allocations;
INSERT INTO ledger_postings (entry_id, line, operator_id, booked_on, account, method, subscriber_id, currency, amount_minor)
    SELECT entry.id, posting.line, entry.operator_id, entry.booked_on, posting.account, posting.method,
           entry.subscriber_id, coalesce(invoice.currency, payment.currency), posting.sign * coalesce(
               (SELECT allocation.amount_minor FROM allocations AS allocation WHERE entry.kind = 'allocation'
                AND allocation.payment_id = entry.payment_id AND allocation.invoice_id = entry.invoice_id),
               invoice.amount_minor, payment.amount_minor)
    FROM ledger_entries AS entry
    LEFT JOIN invoices AS invoice ON invoice.id = entry.invoice_id
    LEFT JOIN payments AS payment ON payment.id = entry.payment_id
    CROSS JOIN LATERAL (VALUES
        ('invoice', 1, 'receivable', '', 1), ('invoice', 2, 'revenue', '', -1),
        ('payment', 1, 'cash', payment.method, 1), ('payment', 2, 'credit', '', -1),
        ('allocation', 1, 'credit', '', 1), ('allocation', 2, 'receivable', '', -1)
    ) AS posting (kind, line, account, method, sign)
    WHERE posting.kind = entry.kind;

-- Rights: web takes money in, the worker runs the billing cycle; neither may write a sum.
REVOKE UPDATE, INSERT ON invoices, payments, allocations FROM ispagents_web;
REVOKE UPDATE (note) ON payments FROM ispagents_web;
GRANT INSERT (operator_id, subscriber_id, year, serial, amount_minor, tax_minor, currency, description, issued_at,
    issued_on, due_at, due_on, language, party) ON invoices TO ispagents_web, ispagents_worker;
GRANT UPDATE (voided_at, void_reason, due_at, due_on) ON invoices TO ispagents_web;
GRANT INSERT (operator_id, subscriber_id, kind, amount_minor, currency, method, external_id, receipt_number, invoice_id,
    note, booked_by, received_at) ON payments TO ispagents_web;
GRANT INSERT (operator_id, subscriber_id, payment_id, invoice_id, amount_minor) ON allocations
    TO ispagents_web, ispagents_worker;
GRANT INSERT ON payment_reversals TO ispagents_web;
GRANT INSERT ON invoice_lines, ledger_entries, ledger_postings TO ispagents_web, ispagents_worker;
GRANT INSERT, UPDATE ON invoice_series TO ispagents_web, ispagents_worker;
-- a lock on the subscriber's row orders what happens to one customer's money
GRANT UPDATE (id) ON subscribers TO ispagents_worker;
