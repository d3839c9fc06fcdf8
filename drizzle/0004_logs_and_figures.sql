CREATE TABLE "skipjack"."task_logs" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "skipjack"."task_logs_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"task_id" uuid NOT NULL,
	"claim_no" integer NOT NULL,
	"attempt" integer NOT NULL,
	"process_id" uuid,
	"first_line" integer NOT NULL,
	"line_count" integer NOT NULL,
	"bytes_so_far" bigint NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"lines" jsonb NOT NULL,
	CONSTRAINT "a_chunk_has_lines" CHECK ("skipjack"."task_logs"."line_count" >= 1 and "skipjack"."task_logs"."first_line" >= 1)
);
--> statement-breakpoint
ALTER TABLE "skipjack"."attempts" ADD COLUMN "cpu_ms" bigint;--> statement-breakpoint
ALTER TABLE "skipjack"."attempts" ADD COLUMN "memory_peak_bytes" bigint;--> statement-breakpoint
ALTER TABLE "skipjack"."compatibility" ADD COLUMN "instance_id" uuid DEFAULT gen_random_uuid() NOT NULL;--> statement-breakpoint
ALTER TABLE "skipjack"."queue_items" ADD COLUMN "progress" jsonb;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "cpu_ms" bigint;--> statement-breakpoint
ALTER TABLE "skipjack"."tasks" ADD COLUMN "memory_peak_bytes" bigint;--> statement-breakpoint
CREATE UNIQUE INDEX "task_logs_of_claim" ON "skipjack"."task_logs" USING btree ("task_id","claim_no","first_line");--> statement-breakpoint
CREATE INDEX "task_logs_of_process" ON "skipjack"."task_logs" USING btree ("process_id","id") WHERE "skipjack"."task_logs"."process_id" is not null;