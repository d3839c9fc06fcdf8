-- The process language: what an engine must think about, items of `each`, events, results of processes.
--
-- Constraints are not validated here: every row that is there fulfils them, for it fulfilled stricter ones, or its
-- columns are new. A long table is not read, and nobody waits.

CREATE TABLE "skipjack"."engine_items" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "skipjack"."engine_items_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"process_id" uuid NOT NULL,
	"task_id" uuid,
	"kind" text NOT NULL,
	"available_at" timestamp with time zone NOT NULL,
	"details" jsonb,
	"failures" smallint DEFAULT 0 NOT NULL,
	CONSTRAINT "a_thought_is_known" CHECK ("skipjack"."engine_items"."kind" in ('think', 'items', 'child_ended', 'timer', 'event', 'cleanup', 'finish', 'deadline', 'cancel', 'retry'))
);
--> statement-breakpoint
CREATE TABLE "skipjack"."event_waits" (
	"task_id" uuid PRIMARY KEY NOT NULL,
	"process_id" uuid NOT NULL,
	"name" text NOT NULL,
	"key" text DEFAULT '' NOT NULL
);
--> statement-breakpoint
CREATE TABLE "skipjack"."events" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"key" text DEFAULT '' NOT NULL,
	"payload" jsonb,
	"created_at" timestamp with time zone NOT NULL,
	"taken_at" timestamp with time zone,
	"woken" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "an_event_has_a_name" CHECK (char_length("skipjack"."events"."name") between 1 and 200),
	CONSTRAINT "a_key_has_at_most_200_letters" CHECK (char_length("skipjack"."events"."key") <= 200)
);
--> statement-breakpoint
CREATE TABLE "skipjack"."inactive_definitions" (
	"name" text PRIMARY KEY NOT NULL,
	"since" timestamp with time zone NOT NULL,
	"by" text
);
--> statement-breakpoint
CREATE TABLE "skipjack"."item_lists" (
	"process_id" uuid NOT NULL,
	"ordinal" integer NOT NULL,
	"task_id" uuid NOT NULL,
	"first_ordinal" integer NOT NULL,
	"last_ordinal" integer NOT NULL,
	"next_ordinal" integer NOT NULL,
	"unended" integer NOT NULL,
	"failed" integer DEFAULT 0 NOT NULL,
	"failures_max" integer NOT NULL,
	"concurrency" integer NOT NULL,
	CONSTRAINT "item_lists_pkey" PRIMARY KEY("process_id","ordinal"),
	CONSTRAINT "a_list_counts_its_items" CHECK ("skipjack"."item_lists"."unended" between 0 and "skipjack"."item_lists"."last_ordinal" - "skipjack"."item_lists"."first_ordinal" + 1 and "skipjack"."item_lists"."failed" >= 0),
	CONSTRAINT "some_item_may_be_active" CHECK ("skipjack"."item_lists"."concurrency" >= 1 and "skipjack"."item_lists"."failures_max" >= 0)
);
--> statement-breakpoint
CREATE TABLE "skipjack"."process_results" (
	"process_id" uuid PRIMARY KEY NOT NULL,
	"output" jsonb,
	"error" jsonb,
	"failure_process_id" uuid
);
--> statement-breakpoint
ALTER TABLE "skipjack"."idempotency_keys" DROP CONSTRAINT "a_scope_is_known";--> statement-breakpoint
ALTER TABLE "skipjack"."process_events" DROP CONSTRAINT "a_process_event_is_known";--> statement-breakpoint
ALTER TABLE "skipjack"."processes" DROP CONSTRAINT "a_process_has_ended_when_nothing_is_unfinished";--> statement-breakpoint
ALTER TABLE "skipjack"."processes" ADD COLUMN "thinks" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."processes" ADD COLUMN "finishes" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."processes" ADD COLUMN "cleans_up" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."processes" ADD COLUMN "parent_task_id" uuid;--> statement-breakpoint
ALTER TABLE "skipjack"."processes" ADD COLUMN "parent_process_id" uuid;--> statement-breakpoint
ALTER TABLE "skipjack"."processes" ADD COLUMN "detached" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."processes" ADD COLUMN "depth" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."queue_items" ADD COLUMN "retry_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "waits_for" text;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "thinks" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "runs_on_failure" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "runs_on_cancel" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "item_of" integer;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "item_index" integer;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "item" jsonb;--> statement-breakpoint
CREATE INDEX "engine_items_due" ON "skipjack"."engine_items" USING btree ("available_at","id");--> statement-breakpoint
CREATE INDEX "engine_items_of_process" ON "skipjack"."engine_items" USING btree ("process_id","task_id");--> statement-breakpoint
CREATE INDEX "event_waits_for" ON "skipjack"."event_waits" USING btree ("name","key");--> statement-breakpoint
CREATE INDEX "events_kept" ON "skipjack"."events" USING btree ("name","key","id") WHERE "skipjack"."events"."taken_at" is null;--> statement-breakpoint
CREATE INDEX "events_by_time" ON "skipjack"."events" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "processes_by_parent" ON "skipjack"."processes" USING btree ("parent_process_id","parent_task_id") WHERE "skipjack"."processes"."parent_process_id" is not null;--> statement-breakpoint
ALTER TABLE "skipjack"."idempotency_keys" ADD CONSTRAINT "a_scope_is_known" CHECK ("skipjack"."idempotency_keys"."scope" in ('task', 'process', 'event')) NOT VALID;--> statement-breakpoint
ALTER TABLE "skipjack"."process_events" ADD CONSTRAINT "a_process_event_is_known" CHECK ("skipjack"."process_events"."event" in ('paused', 'resumed', 'cancel_requested', 'retried', 'completed_by_name', 'failed_by_name', 'deadline_exceeded', 'failure_process_started', 'failure_process_refused')) NOT VALID;--> statement-breakpoint
ALTER TABLE "skipjack"."processes" ADD CONSTRAINT "a_process_has_ended_when_nothing_is_unfinished" CHECK (case when "skipjack"."processes"."state" in ('completed', 'failed', 'cancelled') then "skipjack"."processes"."unfinished" = 0 else "skipjack"."processes"."unfinished" > 0 or "skipjack"."processes"."finishes" end) NOT VALID;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD CONSTRAINT "only_an_active_task_of_a_process_is_parked" CHECK ("skipjack"."tasks"."waits_for" is null or ("skipjack"."tasks"."state" = 'active' and "skipjack"."tasks"."process_id" is not null)) NOT VALID;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD CONSTRAINT "a_parked_task_says_what_for" CHECK ("skipjack"."tasks"."waits_for" in ('engine', 'items', 'process', 'time', 'event')) NOT VALID;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD CONSTRAINT "an_item_has_a_place" CHECK (("skipjack"."tasks"."item_of" is null) = ("skipjack"."tasks"."item_index" is null)) NOT VALID;