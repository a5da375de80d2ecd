-- What customers are told: once for each event (`key`), through each channel by itself, outside quiet hours.

-- `url` is an Apprise address, sealed; {email} and {phone} in it are the customer's.
CREATE TABLE notice_channels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    name text COLLATE "C" NOT NULL CHECK (name <> '' AND octet_length(name) <= 253),
    url bytea NOT NULL,
    events text[] NOT NULL CHECK (cardinality(events) > 0
        AND events <@ ARRAY['invoice', 'reminder', 'restricted', 'restored', 'receipt']),
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    UNIQUE (operator_id, id)
);
CREATE UNIQUE INDEX notice_channels_name ON notice_channels (operator_id, name) WHERE ended_at IS NULL;
-- The operator's own words instead of ours.
CREATE TABLE notice_templates (
    operator_id bigint NOT NULL REFERENCES operators,
    event text NOT NULL CHECK (event IN ('invoice', 'reminder', 'restricted', 'restored', 'receipt')),
    language text NOT NULL CHECK (language ~ '^[a-z]{2}$'),
    subject text NOT NULL CHECK (subject <> '' AND octet_length(subject) <= 1024),
    body text NOT NULL CHECK (body <> '' AND octet_length(body) <= 16384),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (operator_id, event, language)
);
-- `taken_at`: when its deliveries were made, one for each channel.
CREATE TABLE notices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    event text NOT NULL CHECK (event IN ('invoice', 'reminder', 'restricted', 'restored', 'receipt')),
    key text COLLATE "C" NOT NULL CHECK (key <> '' AND octet_length(key) <= 253),
    subscriber_id bigint NOT NULL,
    service_id bigint,
    invoice_id bigint,
    payment_id bigint,
    data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(data) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_at timestamptz,
    UNIQUE (operator_id, id),
    UNIQUE (operator_id, key),
    FOREIGN KEY (operator_id, subscriber_id) REFERENCES subscribers (operator_id, id),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, invoice_id) REFERENCES invoices (operator_id, id),
    FOREIGN KEY (operator_id, payment_id) REFERENCES payments (operator_id, id)
);
CREATE INDEX notices_waiting ON notices (operator_id, id) WHERE taken_at IS NULL;
CREATE INDEX notices_subscriber ON notices (operator_id, subscriber_id, id);
-- `sending` is stored before the gateway is asked: a worker that dies there leaves *unknown*, and nothing is said twice.
CREATE TABLE notice_deliveries (
    notice_id bigint NOT NULL,
    channel_id bigint NOT NULL,
    operator_id bigint NOT NULL REFERENCES operators,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'unknown', 'skipped')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at timestamptz NOT NULL,
    sent_at timestamptz,
    explanation text NOT NULL DEFAULT '' CHECK (octet_length(explanation) <= 4096),
    PRIMARY KEY (notice_id, channel_id),
    FOREIGN KEY (operator_id, notice_id) REFERENCES notices (operator_id, id),
    FOREIGN KEY (operator_id, channel_id) REFERENCES notice_channels (operator_id, id)
);
CREATE INDEX notice_deliveries_due ON notice_deliveries (operator_id, state, due_at) WHERE state IN ('waiting', 'sending');
CREATE INDEX notice_deliveries_failed ON notice_deliveries (operator_id, notice_id) WHERE state IN ('failed', 'unknown');

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['notice_channels', 'notice_templates', 'notices', 'notice_deliveries']
    LOOP
        PERFORM operator_wall(name);
    END LOOP;
END $$;
GRANT INSERT, UPDATE ON notice_channels TO ispagents_web;
GRANT INSERT, UPDATE, DELETE ON notice_templates TO ispagents_web;
GRANT INSERT (operator_id, event, key, subscriber_id, service_id, invoice_id, payment_id, data) ON notices
    TO ispagents_web, ispagents_worker;
GRANT UPDATE (taken_at) ON notices TO ispagents_worker;
GRANT INSERT, UPDATE ON notice_deliveries TO ispagents_worker;
GRANT UPDATE (state, due_at, explanation) ON notice_deliveries TO ispagents_web;

CREATE FUNCTION operators_to_notify() RETURNS TABLE (operator_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT id FROM public.operators AS operator
        WHERE EXISTS (SELECT FROM public.notices WHERE notices.operator_id = operator.id AND taken_at IS NULL)
           OR EXISTS (SELECT FROM public.notice_deliveries AS delivery WHERE delivery.operator_id = operator.id
                      AND state IN ('waiting', 'sending') AND due_at <= now())
    $$;
REVOKE EXECUTE ON FUNCTION operators_to_notify() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operators_to_notify() TO ispagents_worker;

-- For `status`, across operators: what failed for good or is unknown since three days, and what is late by ten minutes.
CREATE FUNCTION notice_health() RETURNS TABLE (failed_notices bigint, unknown_notices bigint, late_notices bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'unknown'),
               count(*) FILTER (WHERE state = 'waiting')
        FROM public.notice_deliveries
        WHERE state IN ('failed', 'unknown') AND due_at > now() - interval '3 days'
           OR state IN ('waiting', 'sending') AND due_at < now() - interval '10 minutes'
    $$;
REVOKE EXECUTE ON FUNCTION notice_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION notice_health() TO ispagents_web;

-- For reports: what was suspended and restored, when.
CREATE INDEX changes_approved ON changes (operator_id, kind, decided_at) WHERE state = 'approved';
