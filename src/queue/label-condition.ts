/** `key` or `key=value`. Served, where nothing else narrows it, by `tasks_labelled`. */
export function labelCondition(task: string, parameter: string): string {
  return `(${task}.labels is not null and case when strpos(${parameter}, '=') > 0
    then ${task}.labels @> jsonb_build_object(split_part(${parameter}, '=', 1), substr(${parameter}, strpos(${parameter}, '=') + 1))
    else ${task}.labels ? ${parameter} end)`;
}
