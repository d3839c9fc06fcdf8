CREATE SCHEMA IF NOT EXISTS "skipjack";
--> statement-breakpoint
CREATE TABLE "skipjack"."attempts" (
	"task_id" uuid NOT NULL,
	"claim_no" integer NOT NULL,
	"attempt" integer NOT NULL,
	"outcome" text NOT NULL,
	"error" jsonb,
	"output" jsonb,
	"exit_code" integer,
	"worker" text NOT NULL,
	"claimed_at" timestamp with time zone NOT NULL,
	"started_at" timestamp with time zone,
	"ended_at" timestamp with time zone NOT NULL,
	"run_ms" bigint,
	CONSTRAINT "attempts_pkey" PRIMARY KEY("task_id","claim_no"),
	CONSTRAINT "an_outcome_is_known" CHECK ("skipjack"."attempts"."outcome" in ('failed', 'timed_out', 'lost', 'cancelled')),
	CONSTRAINT "an_attempt_that_went_wrong_says_why" CHECK ("skipjack"."attempts"."outcome" = 'cancelled' or "skipjack"."attempts"."error" is not null),
	CONSTRAINT "an_attempt_counts_from_1" CHECK ("skipjack"."attempts"."attempt" >= 1 and "skipjack"."attempts"."claim_no" >= 1)
);
--> statement-breakpoint
CREATE TABLE "skipjack"."compatibility" (
	"only_row" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"compatible_from" integer NOT NULL,
	CONSTRAINT "there_is_only_one_row" CHECK ("skipjack"."compatibility"."only_row")
);
--> statement-breakpoint
CREATE TABLE "skipjack"."dead_letters" (
	"task_id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"queue" text NOT NULL,
	"reason" text NOT NULL,
	"failed_at" timestamp with time zone NOT NULL,
	"replayed_at" timestamp with time zone,
	"replays" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "a_reason_is_known" CHECK ("skipjack"."dead_letters"."reason" in ('failed', 'lost_too_often'))
);
--> statement-breakpoint
CREATE TABLE "skipjack"."idempotency_keys" (
	"scope" text NOT NULL,
	"key" text NOT NULL,
	"made_id" uuid NOT NULL,
	"fingerprint" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY("scope","key"),
	CONSTRAINT "a_scope_is_known" CHECK ("skipjack"."idempotency_keys"."scope" in ('task', 'process')),
	CONSTRAINT "a_key_has_1_to_200_letters" CHECK (char_length("skipjack"."idempotency_keys"."key") between 1 and 200)
);
--> statement-breakpoint
CREATE TABLE "skipjack"."queue_items" (
	"task_id" uuid PRIMARY KEY NOT NULL,
	"queue" text NOT NULL,
	"priority" smallint NOT NULL,
	"available_at" timestamp with time zone NOT NULL,
	"claim_no" integer DEFAULT 0 NOT NULL,
	"failures" integer DEFAULT 0 NOT NULL,
	"losses" integer DEFAULT 0 NOT NULL,
	"timeout_ms" bigint,
	"worker" text,
	"claim_id" uuid,
	"claimed_at" timestamp with time zone,
	"started_at" timestamp with time zone,
	"lease_expires_at" timestamp with time zone,
	"deadline_at" timestamp with time zone,
	"cancel_requested" boolean DEFAULT false NOT NULL,
	"overdue" boolean DEFAULT false NOT NULL,
	"awaited" boolean DEFAULT false NOT NULL,
	CONSTRAINT "a_claimed_item_has_a_lease" CHECK (("skipjack"."queue_items"."worker" is null) = ("skipjack"."queue_items"."lease_expires_at" is null) and ("skipjack"."queue_items"."worker" is null) = ("skipjack"."queue_items"."claimed_at" is null)),
	CONSTRAINT "only_a_claimed_item_has_started" CHECK ("skipjack"."queue_items"."worker" is not null or ("skipjack"."queue_items"."started_at" is null and "skipjack"."queue_items"."deadline_at" is null and "skipjack"."queue_items"."claim_id" is null)),
	CONSTRAINT "only_a_claimed_item_is_asked_to_stop" CHECK ("skipjack"."queue_items"."worker" is not null or not "skipjack"."queue_items"."cancel_requested"),
	CONSTRAINT "only_a_claimed_item_is_overdue" CHECK ("skipjack"."queue_items"."worker" is not null or not "skipjack"."queue_items"."overdue"),
	CONSTRAINT "a_time_is_between_1970_and_9999" CHECK ("skipjack"."queue_items"."available_at" >= '1970-01-01 00:00:00+00' and "skipjack"."queue_items"."available_at" < '9999-01-01 00:00:00+00'),
	CONSTRAINT "counters_do_not_go_below_zero" CHECK ("skipjack"."queue_items"."claim_no" >= 0 and "skipjack"."queue_items"."failures" >= 0 and "skipjack"."queue_items"."losses" >= 0)
);
--> statement-breakpoint
CREATE TABLE "skipjack"."queues" (
	"name" text PRIMARY KEY NOT NULL,
	"paused" boolean NOT NULL,
	"changed_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "skipjack"."tasks" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"queue" text NOT NULL,
	"priority" smallint NOT NULL,
	"state" text DEFAULT 'active' NOT NULL,
	"spec" jsonb,
	"input" jsonb,
	"labels" jsonb,
	"retry" jsonb,
	"timeout_ms" bigint,
	"created_at" timestamp with time zone NOT NULL,
	"claim_no" integer DEFAULT 0 NOT NULL,
	"failures" integer DEFAULT 0 NOT NULL,
	"losses" integer DEFAULT 0 NOT NULL,
	"worker" text,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	"wait_ms" bigint,
	"run_ms" bigint,
	"exit_code" integer,
	"output" jsonb,
	"error" jsonb,
	CONSTRAINT "a_state_is_known" CHECK ("skipjack"."tasks"."state" in ('pending', 'active', 'completed', 'failed', 'cancelled', 'skipped')),
	CONSTRAINT "an_ended_task_has_its_time" CHECK (("skipjack"."tasks"."state" in ('completed', 'failed', 'cancelled', 'skipped')) = ("skipjack"."tasks"."finished_at" is not null)),
	CONSTRAINT "a_failed_task_says_why" CHECK ("skipjack"."tasks"."state" <> 'failed' or "skipjack"."tasks"."error" is not null),
	CONSTRAINT "a_priority_is_0_to_9" CHECK ("skipjack"."tasks"."priority" between 0 and 9),
	CONSTRAINT "a_name_has_1_to_200_letters" CHECK (char_length("skipjack"."tasks"."name") between 1 and 200),
	CONSTRAINT "a_queue_has_1_to_200_letters_and_no_dollar" CHECK (char_length("skipjack"."tasks"."queue") between 1 and 200 and left("skipjack"."tasks"."queue", 1) <> '$'),
	CONSTRAINT "a_timeout_is_positive" CHECK ("skipjack"."tasks"."timeout_ms" > 0)
);
--> statement-breakpoint
CREATE TABLE "skipjack"."workers" (
	"id" text PRIMARY KEY NOT NULL,
	"host" text NOT NULL,
	"pid" integer NOT NULL,
	"queues" text[] NOT NULL,
	"slots" integer NOT NULL,
	"version" text NOT NULL,
	"started_at" timestamp with time zone NOT NULL,
	"heartbeat_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE INDEX "dead_letters_by_time" ON "skipjack"."dead_letters" USING btree ("failed_at","task_id");--> statement-breakpoint
CREATE INDEX "idempotency_keys_by_made" ON "skipjack"."idempotency_keys" USING btree ("made_id");--> statement-breakpoint
CREATE INDEX "queue_items_claimable" ON "skipjack"."queue_items" USING btree ("queue","priority" DESC NULLS FIRST,"available_at","task_id") WHERE "skipjack"."queue_items"."worker" is null;--> statement-breakpoint
CREATE INDEX "queue_items_claimed" ON "skipjack"."queue_items" USING btree ("task_id") WHERE "skipjack"."queue_items"."worker" is not null;--> statement-breakpoint
CREATE INDEX "queue_items_claim_id" ON "skipjack"."queue_items" USING btree ("claim_id") WHERE "skipjack"."queue_items"."claim_id" is not null;--> statement-breakpoint
CREATE INDEX "tasks_labelled" ON "skipjack"."tasks" USING gin ("labels" jsonb_path_ops) WHERE "skipjack"."tasks"."labels" is not null;