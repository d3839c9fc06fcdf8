CREATE TABLE "skipjack"."definitions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text,
	"version" integer,
	"checksum" text NOT NULL,
	"source" text NOT NULL,
	"plan" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "a_named_definition_has_a_version" CHECK (("skipjack"."definitions"."name" is null) = ("skipjack"."definitions"."version" is null)),
	CONSTRAINT "a_version_counts_from_1" CHECK ("skipjack"."definitions"."version" >= 1),
	CONSTRAINT "a_definition_name_has_1_to_200_letters" CHECK (char_length("skipjack"."definitions"."name") between 1 and 200)
);
--> statement-breakpoint
CREATE TABLE "skipjack"."process_events" (
	"process_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"event" text NOT NULL,
	"task_id" uuid,
	"by" text,
	"details" jsonb,
	CONSTRAINT "process_events_pkey" PRIMARY KEY("process_id","id"),
	CONSTRAINT "a_process_event_is_known" CHECK ("skipjack"."process_events"."event" in ('paused', 'resumed', 'cancel_requested', 'retried', 'completed_by_name', 'failed_by_name'))
);
--> statement-breakpoint
CREATE TABLE "skipjack"."process_inputs" (
	"process_id" uuid PRIMARY KEY NOT NULL,
	"input" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "skipjack"."processes" (
	"id" uuid PRIMARY KEY NOT NULL,
	"definition_id" uuid NOT NULL,
	"name" text,
	"state" text DEFAULT 'running' NOT NULL,
	"paused" boolean DEFAULT false NOT NULL,
	"fail_fast" boolean NOT NULL,
	"tasks" integer NOT NULL,
	"unfinished" integer NOT NULL,
	"revision" bigint DEFAULT 1 NOT NULL,
	"awaited" boolean DEFAULT false NOT NULL,
	"tasks_awaited" boolean DEFAULT false NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"finished_at" timestamp with time zone,
	CONSTRAINT "a_process_state_is_known" CHECK ("skipjack"."processes"."state" in ('running', 'failing', 'cancelling', 'completed', 'failed', 'cancelled')),
	CONSTRAINT "a_process_has_ended_when_nothing_is_unfinished" CHECK (("skipjack"."processes"."state" in ('completed', 'failed', 'cancelled')) = ("skipjack"."processes"."unfinished" = 0)),
	CONSTRAINT "an_ended_process_has_its_time" CHECK (("skipjack"."processes"."state" in ('completed', 'failed', 'cancelled')) = ("skipjack"."processes"."finished_at" is not null)),
	CONSTRAINT "only_tasks_it_has_are_unfinished" CHECK ("skipjack"."processes"."unfinished" between 0 and "skipjack"."processes"."tasks" and "skipjack"."processes"."tasks" >= 1)
);
--> statement-breakpoint
DROP INDEX "skipjack"."queue_items_claimable";--> statement-breakpoint
ALTER TABLE "skipjack"."queue_items" ADD COLUMN "process_id" uuid;--> statement-breakpoint
ALTER TABLE "skipjack"."queue_items" ADD COLUMN "held" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "process_id" uuid;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "ordinal" integer;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "unmet" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "dependents" integer[];--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "continue_on_error" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "definitions_versions" ON "skipjack"."definitions" USING btree ("name","version") WHERE "skipjack"."definitions"."name" is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "definitions_inline" ON "skipjack"."definitions" USING btree ("checksum") WHERE "skipjack"."definitions"."name" is null;--> statement-breakpoint
CREATE INDEX "processes_live" ON "skipjack"."processes" USING btree ("id") WHERE "skipjack"."processes"."state" in ('running', 'failing', 'cancelling');--> statement-breakpoint
CREATE INDEX "processes_by_name" ON "skipjack"."processes" USING btree ("name","id");--> statement-breakpoint
CREATE UNIQUE INDEX "tasks_of_process" ON "skipjack"."tasks" USING btree ("process_id","ordinal") WHERE "skipjack"."tasks"."process_id" is not null;--> statement-breakpoint
CREATE INDEX "queue_items_claimable" ON "skipjack"."queue_items" USING btree ("queue","priority" DESC NULLS FIRST,"available_at","task_id") WHERE "skipjack"."queue_items"."worker" is null and not "skipjack"."queue_items"."held";--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD CONSTRAINT "a_task_of_a_process_has_a_place_in_it" CHECK (("skipjack"."tasks"."process_id" is null) = ("skipjack"."tasks"."ordinal" is null));--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD CONSTRAINT "only_a_pending_task_waits_for_its_needs" CHECK (case "skipjack"."tasks"."state" when 'pending' then "skipjack"."tasks"."unmet" > 0 when 'active' then "skipjack"."tasks"."unmet" = 0 else "skipjack"."tasks"."unmet" >= 0 end);