-- What other systems say: money from banks and payment providers, and standings from another billing system.

-- A payment provider: which scheme signs (`kind`, a plugin's name), its sealed secret, and the token in its address.
CREATE TABLE payment_providers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    kind text NOT NULL CHECK (kind <> ''),
    secret bytea NOT NULL,
    token text NOT NULL UNIQUE CHECK (octet_length(token) BETWEEN 32 AND 128),
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    UNIQUE (operator_id, id)
);
CREATE UNIQUE INDEX payment_providers_name ON payment_providers (operator_id, name) WHERE ended_at IS NULL;

-- Programs that may ask the API. The token itself is shown once; its hash is kept.
CREATE TABLE api_tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    name text COLLATE "C" NOT NULL CHECK (name <> '' AND octet_length(name) <= 253),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['payments', 'standings', 'read']),
    created_by text NOT NULL CHECK (created_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    ended_at timestamptz
);
CREATE UNIQUE INDEX api_tokens_name ON api_tokens (operator_id, name) WHERE ended_at IS NULL;

-- A file that was read: a preview first, then applied. The same content is applied once.
CREATE TABLE imports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    kind text NOT NULL CHECK (kind IN ('payments', 'standings')),
    file_name text NOT NULL CHECK (octet_length(file_name) <= 1024),
    content_hash text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    state text NOT NULL DEFAULT 'previewed' CHECK (state IN ('previewed', 'applied', 'dropped')),
    created_by text NOT NULL CHECK (created_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    applied_by text,
    applied_at timestamptz,
    UNIQUE (operator_id, id),
    CHECK ((state = 'applied') = (applied_at IS NOT NULL)),
    CHECK ((applied_at IS NULL) = (applied_by IS NULL))
);
CREATE UNIQUE INDEX imports_once ON imports (operator_id, kind, content_hash) WHERE state = 'applied';
CREATE TABLE import_rows (
    import_id bigint NOT NULL,
    line integer NOT NULL CHECK (line > 0),
    operator_id bigint NOT NULL REFERENCES operators,
    fields text[] NOT NULL,
    reading jsonb,
    problem text NOT NULL DEFAULT '',
    PRIMARY KEY (import_id, line),
    FOREIGN KEY (operator_id, import_id) REFERENCES imports (operator_id, id),
    CHECK ((reading IS NULL) = (problem <> ''))
);
CREATE INDEX import_rows_bad ON import_rows (import_id, line) WHERE problem <> '';

-- What was reported, once for each source and its own id. `review`: a person decides, nobody is restored meanwhile.
-- `candidates`: whom it may be from, and why, the likeliest first.
CREATE TABLE incoming_payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    source text COLLATE "C" NOT NULL CHECK (source <> '' AND octet_length(source) <= 253),
    external_id text COLLATE "C" NOT NULL CHECK (external_id <> '' AND octet_length(external_id) <= 253),
    kind text NOT NULL DEFAULT 'payment' CHECK (kind IN ('payment', 'refund', 'chargeback')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    occurred_at timestamptz NOT NULL,
    method text NOT NULL CHECK (method <> '' AND octet_length(method) <= 64),
    reference text NOT NULL DEFAULT '' CHECK (octet_length(reference) <= 1024),
    payer text NOT NULL DEFAULT '' CHECK (octet_length(payer) <= 1024),
    phone text NOT NULL DEFAULT '' CHECK (octet_length(phone) <= 64),
    username text NOT NULL DEFAULT '' CHECK (octet_length(username) <= 253),
    original_external_id text CHECK (original_external_id <> '' AND octet_length(original_external_id) <= 253),
    import_id bigint,
    state text NOT NULL CHECK (state IN ('booked', 'review', 'dropped')),
    explanation text NOT NULL CHECK (octet_length(explanation) <= 4096),
    candidates jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(candidates) = 'array'),
    subscriber_id bigint,
    payment_id bigint,
    reversal_id bigint,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_by text,
    decided_at timestamptz,
    UNIQUE (operator_id, id),
    UNIQUE (operator_id, source, external_id),
    FOREIGN KEY (operator_id, import_id) REFERENCES imports (operator_id, id),
    FOREIGN KEY (operator_id, subscriber_id) REFERENCES subscribers (operator_id, id),
    FOREIGN KEY (operator_id, payment_id) REFERENCES payments (operator_id, id),
    FOREIGN KEY (operator_id, reversal_id) REFERENCES payment_reversals (operator_id, id),
    CHECK ((state = 'booked') = (payment_id IS NOT NULL OR reversal_id IS NOT NULL)),
    CHECK ((decided_at IS NULL) = (decided_by IS NULL))
);
CREATE INDEX incoming_payments_review ON incoming_payments (operator_id, id) WHERE state = 'review';
CREATE INDEX incoming_payments_subscriber ON incoming_payments (operator_id, subscriber_id, id)
    WHERE subscriber_id IS NOT NULL;
-- Who paid like this before: a payer whose payment a person or a sure match gave to a subscriber.
CREATE INDEX incoming_payments_payer ON incoming_payments (operator_id, payer) WHERE state = 'booked' AND payer <> '';
-- What a refund that came before its payment waits for.
CREATE INDEX incoming_payments_original ON incoming_payments (operator_id, source, original_external_id)
    WHERE state = 'review' AND original_external_id IS NOT NULL;
-- Phones are found by their last digits, with and without the country's. A stored column, since behind the wall between
-- operators an index on an expression is not used.
ALTER TABLE subscribers ADD COLUMN phone_end text
    GENERATED ALWAYS AS (right(regexp_replace(phone, '[^0-9]', '', 'g'), 8)) STORED;
CREATE INDEX subscribers_phone ON subscribers (operator_id, phone_end) WHERE phone_end <> '';
-- Who owes exactly so much.
CREATE INDEX invoices_open_amount ON invoices (operator_id, open_minor, due_on) WHERE open_minor > 0;

-- What another billing system says of a service, and as of when. Older never beats newer.
CREATE TABLE asserted_standings (
    service_id bigint PRIMARY KEY,
    operator_id bigint NOT NULL,
    standing text NOT NULL CHECK (standing IN ('current', 'due', 'grace', 'overdue', 'suspended')),
    as_of timestamptz NOT NULL,
    source text NOT NULL CHECK (source <> '' AND octet_length(source) <= 253),
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id)
);
CREATE FUNCTION newer_standings_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.as_of < OLD.as_of THEN
        RAISE EXCEPTION 'an older standing never replaces a newer one' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER newer_standings_stay BEFORE UPDATE ON asserted_standings
    FOR EACH ROW EXECUTE FUNCTION newer_standings_stay();
CREATE TRIGGER asserted_standings_inserted_review AFTER INSERT ON asserted_standings
    FOR EACH ROW EXECUTE FUNCTION review_by_service();
-- A feed says the same of everybody every day; only what it says otherwise is looked at.
CREATE TRIGGER asserted_standings_review AFTER UPDATE ON asserted_standings
    FOR EACH ROW WHEN (OLD.standing IS DISTINCT FROM NEW.standing) EXECUTE FUNCTION review_by_service();

-- Another word counts for everybody at once.
CREATE FUNCTION review_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reviews (service_id, operator_id, due_at)
        SELECT id, operator_id, now() FROM services WHERE operator_id = NEW.id AND closed_at IS NULL ORDER BY id
        ON CONFLICT (service_id) DO UPDATE SET due_at = least(reviews.due_at, excluded.due_at);
    RETURN NULL;
END $$;
CREATE TRIGGER operators_standings_review AFTER UPDATE ON operators FOR EACH ROW
    WHEN (OLD.standings_from IS DISTINCT FROM NEW.standings_from) EXECUTE FUNCTION review_all();

-- When a source last spoke at all; a silent one suspends nobody.
CREATE TABLE feeds (
    operator_id bigint NOT NULL REFERENCES operators,
    kind text NOT NULL CHECK (kind IN ('payments', 'standings')),
    source text COLLATE "C" NOT NULL CHECK (source <> '' AND octet_length(source) <= 253),
    last_at timestamptz NOT NULL,
    PRIMARY KEY (operator_id, kind, source)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['payment_providers', 'api_tokens', 'imports', 'import_rows', 'incoming_payments',
        'asserted_standings', 'feeds']
    LOOP
        PERFORM operator_wall(name);
    END LOOP;
END $$;
-- the worker has no use for the secrets of providers and programs
REVOKE SELECT ON payment_providers, api_tokens FROM ispagents_worker;
GRANT INSERT, UPDATE ON payment_providers, api_tokens, imports, asserted_standings, feeds, incoming_payments
    TO ispagents_web;
GRANT INSERT, DELETE ON import_rows TO ispagents_web;
GRANT DELETE ON feeds TO ispagents_web;

-- For `status`, across operators: how many are watched for payments, or for standings from outside, that do not come.
CREATE FUNCTION feed_health() RETURNS TABLE (silent_payment_feeds bigint, silent_standing_feeds bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT count(*) FILTER (WHERE payment_feed_hours IS NOT NULL AND coalesce(greatest(
                (SELECT created_at FROM public.payments WHERE operator_id = operator.id ORDER BY id DESC LIMIT 1),
                (SELECT max(last_at) FROM public.feeds WHERE operator_id = operator.id AND kind = 'payments'))
                < now() - make_interval(hours => payment_feed_hours), true)),
               count(*) FILTER (WHERE standing_feed_hours IS NOT NULL AND standings_from = 'outside' AND coalesce(
                (SELECT min(last_at) FROM public.feeds WHERE operator_id = operator.id AND kind = 'standings')
                < now() - make_interval(hours => standing_feed_hours), true))
        FROM public.operators AS operator
    $$;
REVOKE EXECUTE ON FUNCTION feed_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION feed_health() TO ispagents_web;

-- Which operator a webhook or a program belongs to, before one is chosen; the row itself is then read as its operator.
CREATE FUNCTION provider_by_token(wanted text) RETURNS TABLE (operator_id bigint, provider_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT operator_id, id FROM public.payment_providers WHERE token = wanted AND ended_at IS NULL $$;
CREATE FUNCTION operator_by_api_token(wanted bytea) RETURNS TABLE (operator_id bigint, token_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT operator_id, id FROM public.api_tokens WHERE hash = wanted AND ended_at IS NULL $$;
REVOKE EXECUTE ON FUNCTION provider_by_token(text), operator_by_api_token(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION provider_by_token(text), operator_by_api_token(bytea) TO ispagents_web;
