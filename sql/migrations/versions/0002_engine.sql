-- Brakes: an automatic rule approves at most so many changes of a kind a day, the larger of `brake_free` and the smaller
-- of `brake_number` and `brake_percent` of the active services; beyond it people approve. `writes_stopped_at` stops all
-- network writes. `payment_feed_hours`: without a payment for so long nobody is suspended by a rule (NULL: not watched).
ALTER TABLE operators
    ADD COLUMN brake_percent double precision NOT NULL DEFAULT 5 CHECK (brake_percent BETWEEN 0 AND 100),
    ADD COLUMN brake_number integer NOT NULL DEFAULT 500 CHECK (brake_number >= 0),
    ADD COLUMN brake_free integer NOT NULL DEFAULT 20 CHECK (brake_free >= 0),
    ADD COLUMN writes_stopped_at timestamptz,
    ADD COLUMN writes_stopped_by text NOT NULL DEFAULT '',
    ADD COLUMN payment_feed_hours integer CHECK (payment_feed_hours > 0),
    ADD COLUMN approval_rules jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(approval_rules) = 'array'),
    ADD COLUMN change_days integer NOT NULL DEFAULT 14 CHECK (change_days BETWEEN 1 AND 365),
    ADD CHECK ((writes_stopped_at IS NULL) = (writes_stopped_by = ''));

-- Changes of one kind and day that wait for people, looked at and approved together.
CREATE TABLE batches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    name text NOT NULL CHECK (name <> ''),
    requested_by text NOT NULL CHECK (requested_by <> ''),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    undoes_batch_id bigint,
    UNIQUE (operator_id, id),
    FOREIGN KEY (operator_id, undoes_batch_id) REFERENCES batches (operator_id, id)
);
CREATE UNIQUE INDEX batches_name ON batches (operator_id, name);

-- An earlier access that a person gave back for a while, whatever billing says: undo, and promises of support.
CREATE TABLE overrides (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    service_id bigint NOT NULL,
    facts jsonb NOT NULL,
    until timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    granted_by text NOT NULL CHECK (granted_by <> ''),
    undoes_change_id bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, undoes_change_id) REFERENCES changes (operator_id, id)
);
CREATE UNIQUE INDEX overrides_one_open ON overrides (service_id) WHERE ended_at IS NULL;
CREATE INDEX overrides_service ON overrides (operator_id, service_id, id);
CREATE TRIGGER overrides_review AFTER INSERT OR UPDATE ON overrides
    FOR EACH ROW EXECUTE FUNCTION review_by_service();

-- `needs_approvals`: how many different people must approve. `held_back`: why no rule approved it, for people to read.
ALTER TABLE changes
    ADD COLUMN batch_id bigint,
    ADD COLUMN requested_by text NOT NULL DEFAULT 'billing' CHECK (requested_by <> ''),
    ADD COLUMN undoes_change_id bigint,
    ADD COLUMN needs_approvals smallint NOT NULL DEFAULT 1 CHECK (needs_approvals BETWEEN 1 AND 2),
    ADD COLUMN held_back text NOT NULL DEFAULT '',
    ADD FOREIGN KEY (operator_id, batch_id) REFERENCES batches (operator_id, id),
    ADD FOREIGN KEY (operator_id, undoes_change_id) REFERENCES changes (operator_id, id);
CREATE INDEX changes_batch ON changes (operator_id, batch_id, id) WHERE batch_id IS NOT NULL;
CREATE INDEX changes_decided ON changes (operator_id, kind, decided_at) WHERE rule IS NOT NULL;

-- Who said yes, to which preview. A change is approved by the last one that it needs.
CREATE TABLE approvals (
    operator_id bigint NOT NULL REFERENCES operators,
    change_id bigint NOT NULL,
    person text NOT NULL CHECK (person <> ''),
    preview_hash text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (change_id, person),
    FOREIGN KEY (operator_id, change_id) REFERENCES changes (operator_id, id)
);

-- `verify_by`: an acknowledged step without proof by then is `unverified`, an alarm. `priority`: lower is sent first.
ALTER TABLE steps
    ADD COLUMN verify_by timestamptz,
    ADD COLUMN priority smallint NOT NULL DEFAULT 5,
    DROP CONSTRAINT steps_state_check,
    ADD CONSTRAINT steps_state_check CHECK (state IN ('waiting', 'started', 'retrying', 'acknowledged', 'verified',
        'unverified', 'refused', 'stuck', 'superseded'));
CREATE INDEX steps_unproved ON steps (verify_by) WHERE state = 'acknowledged';

-- What the worker sees of a router: answers missed in a row, and until when it is left alone (the circuit breaker).
CREATE TABLE router_health (
    router_id bigint PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    misses integer NOT NULL DEFAULT 0 CHECK (misses >= 0),
    down_since timestamptz,
    left_alone_until timestamptz,
    answered_at timestamptz,
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id)
);

-- What a self-test found out about a router, with what it saw.
CREATE TABLE router_abilities (
    operator_id bigint NOT NULL REFERENCES operators,
    router_id bigint NOT NULL,
    ability text NOT NULL,
    able boolean NOT NULL,
    learnt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    learnt_by text NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (router_id, ability),
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id)
);

-- The chain over audit events: written after they were committed, so that nobody queues for it. `revision` is the
-- transaction of an event; the head's snapshot says exactly which transactions were sealed.
ALTER TABLE audit_events ADD COLUMN revision xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX audit_events_subscriber ON audit_events (operator_id, subscriber_id, id) WHERE subscriber_id IS NOT NULL;
CREATE INDEX audit_events_revision ON audit_events (operator_id, revision);
CREATE TABLE audit_seals (
    operator_id bigint NOT NULL REFERENCES operators,
    number bigint NOT NULL CHECK (number > 0),
    event_id bigint NOT NULL UNIQUE REFERENCES audit_events,
    hash text NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (operator_id, number)
);
CREATE TABLE audit_heads (
    operator_id bigint PRIMARY KEY REFERENCES operators,
    number bigint NOT NULL DEFAULT 0,
    hash text NOT NULL DEFAULT '',
    snapshot pg_snapshot,
    sealed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER audit_events_full BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay();
CREATE TRIGGER audit_seals_full BEFORE TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay();
CREATE TRIGGER audit_seals_stay BEFORE UPDATE OR DELETE ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION audit_events_stay();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['batches', 'overrides', 'approvals', 'router_health', 'router_abilities', 'audit_seals',
        'audit_heads'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY operator_wall ON %I TO ispagents_web, ispagents_worker '
            'USING (operator_id = (SELECT current_operator())) '
            'WITH CHECK (operator_id = (SELECT current_operator()))', name);
        EXECUTE format('CREATE POLICY owner_migrates ON %I TO ispagents_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT ON %I TO ispagents_web, ispagents_worker', name);
    END LOOP;
END $$;
-- Neither number nor time nor transaction of an event can be chosen.
REVOKE INSERT ON audit_events FROM ispagents_web, ispagents_worker, ispagents_edge;
GRANT INSERT (operator_id, actor, event, service_id, subscriber_id, data) ON audit_events
    TO ispagents_web, ispagents_worker, ispagents_edge;
GRANT INSERT ON batches, approvals, overrides TO ispagents_web, ispagents_worker;
GRANT UPDATE (preview_hash, at) ON approvals TO ispagents_web;
GRANT UPDATE (ended_at) ON overrides TO ispagents_web, ispagents_worker;
GRANT INSERT, UPDATE ON router_abilities TO ispagents_web;
GRANT INSERT, UPDATE ON router_health TO ispagents_worker;
GRANT INSERT ON audit_seals TO ispagents_worker;
GRANT INSERT, UPDATE ON audit_heads TO ispagents_worker;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ispagents_web, ispagents_worker, ispagents_edge;

-- What the worker's clock asks before it chooses an operator.
CREATE OR REPLACE FUNCTION operators_with_work() RETURNS TABLE (operator_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT id FROM public.operators AS operator
        WHERE EXISTS (SELECT FROM public.reviews WHERE reviews.operator_id = operator.id AND due_at <= now())
           OR EXISTS (SELECT FROM public.services WHERE services.operator_id = operator.id
                      AND authorised_until <= now())
    $$;
CREATE OR REPLACE FUNCTION routers_with_work() RETURNS TABLE (operator_id bigint, router_id bigint, node text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT DISTINCT step.operator_id, step.router_id, coalesce(node.name, '')
        FROM public.steps AS step
        JOIN public.routers AS router ON router.id = step.router_id
        JOIN public.operators AS operator ON operator.id = step.operator_id
        LEFT JOIN public.router_health AS health ON health.router_id = step.router_id
        LEFT JOIN public.nodes AS node ON node.id = router.node_id
        WHERE step.state IN ('waiting', 'started', 'retrying') AND step.due_at <= now()
            AND operator.writes_stopped_at IS NULL AND coalesce(health.left_alone_until, now()) <= now()
    $$;
-- Operators with audit events that are not sealed yet.
CREATE FUNCTION operators_to_seal() RETURNS TABLE (operator_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT operator.id FROM public.operators AS operator
        LEFT JOIN public.audit_heads AS head ON head.operator_id = operator.id
        WHERE EXISTS (
            SELECT FROM public.audit_events AS event
            WHERE event.operator_id = operator.id
                AND (head.snapshot IS NULL OR (event.revision >= pg_snapshot_xmin(head.snapshot)
                    AND NOT pg_visible_in_snapshot(event.revision, head.snapshot))))
    $$;
-- Acknowledged steps whose proof is overdue.
CREATE FUNCTION operators_to_verify() RETURNS TABLE (operator_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT DISTINCT operator_id FROM public.steps WHERE state = 'acknowledged' AND verify_by <= now() $$;
REVOKE EXECUTE ON FUNCTION operators_to_seal(), operators_to_verify() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operators_to_seal(), operators_to_verify() TO ispagents_worker;
