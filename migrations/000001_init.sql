-- Everything Xiaohe stores. Works on PostgreSQL 15 and later without extensions, and on PGlite.
-- Erasing a person removes their sessions, own room, messages, replies to them and the facts they taught by cascade.

-- ───────────── people ─────────────

create table persons (
  id uuid primary key,
  name text not null check (char_length(name) between 1 and 24),
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
);

create table sessions (
  -- Only the hash is stored: a copy of this table lets nobody in.
  token_sha256 bytea primary key check (octet_length(token_sha256) = 32),
  person uuid not null references persons on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index sessions_person on sessions (person);

-- ───────────── rooms ─────────────

create table rooms (
  -- Canonical name: me:<person>, class:<uuid>, studio:<uuid>.
  name text primary key check (name ~ '^(me|class|studio):[0-9a-f-]{36}$'),
  kind text not null check (kind in ('me', 'class', 'studio')),
  title text not null default '',
  -- The one whose own room this is; shared rooms outlive their members.
  person uuid unique references persons on delete cascade,
  code text unique check (code ~ '^[0-9]{6}$'),
  code_expires_at timestamptz,
  -- Last sequence number given out. Rows are numbered under this row's lock, so numbers commit in order.
  seq integer not null default 0,
  created_at timestamptz not null default now(),
  check ((kind = 'me') = (person is not null)),
  check ((code is null) = (code_expires_at is null))
);

create table members (
  room text not null references rooms on delete cascade,
  person uuid not null references persons on delete cascade,
  role text not null check (role in ('owner', 'member')),
  joined_at timestamptz not null default now(),
  primary key (room, person)
);
create index members_person on members (person);

create table messages (
  -- Made by the client: the same message sent twice is one row.
  id uuid primary key,
  room text not null references rooms on delete cascade,
  seq integer not null,
  -- Null: the student said it.
  author uuid references persons on delete cascade,
  -- The name as it was when this was said; a later change of name does not rewrite what was.
  author_name text not null,
  text text not null,
  skill text check (skill in ('chat', 'couplet', 'poem')),
  reply_to uuid references messages on delete cascade,
  -- Facts learned from this message, as shown beside it.
  learned jsonb,
  -- Code of a safety notice shown beside this message.
  notice text,
  sent_at timestamptz not null default now(),
  unique (room, seq),
  check ((author is null) = (reply_to is not null))
);
create index messages_author on messages (author);
create index messages_reply_to on messages (reply_to);

-- What changed in a room, in order. Rows point at what changed instead of copying it, so that text lives in one place.
create table room_events (
  room text not null references rooms on delete cascade,
  seq integer not null,
  type text not null check (type in ('message', 'update', 'member')),
  message uuid references messages on delete cascade,
  person uuid references persons on delete cascade,
  at timestamptz not null default now(),
  primary key (room, seq),
  check ((type = 'member') = (person is not null)),
  check ((type = 'member') = (message is null))
);
create index room_events_message on room_events (message);
create index room_events_person on room_events (person);

-- ───────────── generations: replies being made ─────────────

create table generations (
  id uuid primary key,
  room text not null references rooms on delete cascade,
  message uuid not null references messages on delete cascade,
  -- Her message, empty until the reply ends.
  reply uuid not null unique references messages on delete cascade,
  -- Sequence of her message: replies of one room run in this order.
  seq integer not null,
  status text not null default 'running' check (status in ('running', 'done', 'stopped', 'failed', 'withheld')),
  skill text not null default 'chat' check (skill in ('chat', 'couplet', 'poem')),
  checkpoint text not null default '',
  checkpoint_sha text not null default '',
  engine text not null default '',
  last_seq integer not null default 0,
  -- The server process that makes this reply and must keep its heartbeat fresh.
  process uuid not null,
  heartbeat_at timestamptz not null default now(),
  stop_requested_at timestamptz,
  recalled jsonb not null default '[]',
  verse jsonb,
  usage jsonb,
  error text,
  created_at timestamptz not null default now(),
  ended_at timestamptz
);
create index generations_running on generations (room, seq) where status = 'running';
create unique index generations_one_running on generations (message) where status = 'running';
create index generations_message on generations (message);

-- What a reply did, coalesced, never one row a token. The reply is the fold of these.
create table generation_events (
  generation uuid not null references generations on delete cascade,
  seq integer not null,
  type text not null check (type in ('start', 'recall', 'delta', 'verse', 'end', 'error')),
  body jsonb not null,
  primary key (generation, seq)
);

-- ───────────── the mind ─────────────

create table facts (
  id uuid primary key,
  scope text not null,
  subject text,
  relation text,
  object text,
  key text not null,
  text text not null,
  lang text,
  teacher uuid not null references persons on delete cascade,
  message uuid not null references messages on delete cascade,
  status text not null default 'scoped' check (status in ('quarantined', 'scoped', 'shared', 'retired')),
  said_at timestamptz,
  learned_at timestamptz,
  superseded_at timestamptz,
  superseded_by uuid references facts on delete set null,
  erased_at timestamptz,
  grams tsvector not null,
  recalls integer not null default 0,
  last_recalled_at timestamptz
);
create index facts_grams on facts using gin (grams);
create index facts_live_key on facts (scope, key) where superseded_at is null and erased_at is null;
create index facts_teacher on facts (teacher);
create index facts_message on facts (message);
create index facts_superseded_by on facts (superseded_by);

create table recalls (
  generation uuid not null references generations on delete cascade,
  fact uuid not null references facts on delete cascade,
  rank integer,
  score real,
  primary key (generation, fact)
);
create index recalls_fact on recalls (fact);

-- Learning progress: one row a turn.
create table turns (
  generation uuid primary key references generations on delete cascade,
  scope text,
  speaker uuid,
  skill text,
  outcome text check (outcome in ('chat', 'taught', 'recalled', 'unknown', 'verse', 'stopped', 'withheld', 'failed')),
  facts_learned integer,
  facts_recalled integer,
  checkpoint text,
  checkpoint_sha text,
  prompt_tokens integer,
  completion_tokens integer,
  first_token_ms integer,
  total_ms integer,
  joules real,
  gco2e real,
  energy_measured boolean,
  created_at timestamptz not null default now()
);
create index turns_scope on turns (scope, created_at);

create view progress_daily as
select
  scope,
  (created_at at time zone 'UTC')::date as day,
  count(*)::integer as turns,
  count(*) filter (where outcome = 'taught')::integer as taught,
  count(*) filter (where outcome = 'recalled')::integer as recalled,
  count(*) filter (where outcome = 'unknown')::integer as unknown,
  count(*) filter (where outcome = 'verse')::integer as verses,
  coalesce(sum(facts_learned), 0)::integer as facts_learned,
  coalesce(sum(completion_tokens), 0)::integer as completion_tokens,
  coalesce(sum(joules), 0)::real as joules,
  coalesce(sum(gco2e), 0)::real as gco2e
from turns
group by scope, (created_at at time zone 'UTC')::date;

-- ───────────── between server processes ─────────────

-- Payloads over NOTIFY's limit, written and cleaned by @socket.io/postgres-adapter; the shape is the adapter's own.
create table socket_io_attachments (
  id bigserial unique,
  created_at timestamptz default now(),
  payload bytea
);
