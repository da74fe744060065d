--
-- What pg_dump --no-owner writes of the reference's state: its own table, as
-- SQLAlchemy makes it. Users and commits are made up.
--

SET client_encoding = 'UTF8';

CREATE TABLE public.moderate_workflows_key_values (
    id integer NOT NULL,
    key character varying,
    value character varying
);

CREATE SEQUENCE public.moderate_workflows_key_values_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.moderate_workflows_key_values_id_seq
    OWNED BY public.moderate_workflows_key_values.id;

ALTER TABLE ONLY public.moderate_workflows_key_values
    ALTER COLUMN id SET DEFAULT
    nextval('public.moderate_workflows_key_values_id_seq'::regclass);

INSERT INTO public.moderate_workflows_key_values VALUES
    (1, 'user-trust-did:alice', '2024-05-02T10:11:12.131415'),
    (2, 'user-trust-did:b:o b/ü', '2024-05-02T10:11:13'),
    (3, 'git-dataset-commit:building-stock-1-dynamic-analysis-cases', 'ae63ae3f35ba44c4fde46998af7b4e19621ecf81'),
    (4, 'git-dataset-commit:genome-project-weather-weather', 'be63ae3f35ba44c4fde46998af7b4e19621ecf82'),
    (5, 'user-trust-did:', '2024-05-02T10:11:14'),
    (6, 'user-trust-did:carol', ''),
    (7, 'user-trust-did:dave', NULL),
    (8, 'user-trust-did:erin', 'yes'),
    (9, NULL, '2024-05-02T10:11:15'),
    (10, 'git-dataset-commit:somebody-elses-file', 'ce63ae3f35ba44c4fde46998af7b4e19621ecf83'),
    (11, 'git-dataset-commit:genome-project-metadata', 'main'),
    (12, 'keycloak-users:frank', 'processed'),
    (13, 'without a namespace', 'x');

SELECT pg_catalog.setval(
    'public.moderate_workflows_key_values_id_seq', 13, true);

ALTER TABLE ONLY public.moderate_workflows_key_values
    ADD CONSTRAINT moderate_workflows_key_values_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX ix_moderate_workflows_key_values_key
    ON public.moderate_workflows_key_values USING btree (key);
