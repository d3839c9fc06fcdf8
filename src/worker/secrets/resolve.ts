import type { SecretText } from '../../core/secret-text.ts';
import { mapTexts, type Spec } from '../../core/spec.ts';
import { createMask, type Mask, noMask } from './mask.ts';
import type { Vault } from './vault.ts';

/** Ready to run, or the names of the secrets that this worker does not have. */
export type Resolved = { spec: Spec | null; mask: Mask } | { missing: string[] };

/**
 * Puts the values of secrets where their references stand, and makes the mask that hides them.
 *
 * Each secret is read once, so that all places of one attempt get the same value. Values are not looked into: what
 * reads like a reference in one stays as it is. The result is for running, never for logging or storing.
 *
 * @throws Error as the vault does, for a value that cannot be used.
 */
export async function resolveSecrets(
  spec: Spec<SecretText> | null,
  vault: Pick<Vault, 'read'>,
): Promise<Resolved> {
  const names = spec === null ? new Set<string>() : findSecrets(spec);
  // Without references it is a spec of plain texts already.
  if (spec === null || names.size === 0) return { spec: spec as Spec | null, mask: noMask };
  const values = new Map<string, string>();
  const missing: string[] = [];
  for (const name of names) {
    const value = await vault.read(name);
    if (value === null) missing.push(name);
    else values.set(name, value);
  }
  if (missing.length > 0) return { missing };
  return {
    spec: mapTexts(spec, (text) => withValues(text, values)),
    mask: createMask([...values.values()]),
  };
}

function findSecrets(spec: Spec<SecretText>): Set<string> {
  const names = new Set<string>();
  mapTexts(spec, (text) => {
    if (typeof text === 'string') return;
    for (const part of text) if (typeof part !== 'string') names.add(part.secret);
  });
  return names;
}

function withValues(text: SecretText, values: ReadonlyMap<string, string>): string {
  if (typeof text === 'string') return text;
  return text.map((part) => (typeof part === 'string' ? part : (values.get(part.secret) ?? ''))).join('');
}
