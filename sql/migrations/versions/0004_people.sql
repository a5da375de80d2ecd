-- People who sign in to the pages. A login name is one person's on the whole installation, since nobody has said yet
-- which operator is meant. `password` is a hash that the pages made. `fs_uniquifier` names the open sessions: a new one
-- ends them all. The tf_ columns are Flask-Security's for one-time codes.
CREATE TABLE people (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    login text COLLATE "C" NOT NULL CHECK (login ~ '^[a-z0-9][a-z0-9._@+-]{0,199}$'),
    password text NOT NULL CHECK (password <> ''),
    roles text[] NOT NULL CHECK (cardinality(roles) > 0
        AND roles <@ ARRAY['owner', 'operator', 'approver', 'finance', 'support', 'auditor']),
    active boolean NOT NULL DEFAULT true,
    fs_uniquifier text NOT NULL,
    tf_primary_method text,
    tf_totp_secret text,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz,
    failed_count integer NOT NULL DEFAULT 0 CHECK (failed_count >= 0),
    locked_until timestamptz
);
CREATE UNIQUE INDEX people_login ON people (login);
CREATE UNIQUE INDEX people_uniquifier ON people (fs_uniquifier);
CREATE INDEX people_operator ON people (operator_id, login);

ALTER TABLE people ENABLE ROW LEVEL SECURITY;
ALTER TABLE people FORCE ROW LEVEL SECURITY;
CREATE POLICY operator_wall ON people TO ispagents_web
    USING (operator_id = (SELECT current_operator())) WITH CHECK (operator_id = (SELECT current_operator()));
CREATE POLICY owner_migrates ON people TO ispagents_owner USING (true) WITH CHECK (true);
-- web alone: the worker and edge need nobody's password
GRANT SELECT, INSERT ON people TO ispagents_web;
GRANT UPDATE (password, roles, active, fs_uniquifier, tf_primary_method, tf_totp_secret, last_login_at, failed_count,
    locked_until) ON people TO ispagents_web;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ispagents_web;

-- Where one login name belongs, for a sign-in that has not chosen an operator yet. Runs as the owner, returns nothing
-- else: the row itself is then read as its operator.
CREATE FUNCTION person_by_login(wanted text) RETURNS TABLE (operator_id bigint, person_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT operator_id, id FROM public.people WHERE login = wanted $$;
REVOKE EXECUTE ON FUNCTION person_by_login(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION person_by_login(text) TO ispagents_web;
