/**
 * The part of `system check` that looks at the templates of machines: one that is damaged is made again when needed.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { causeOf } from '../../errors.ts';
import type { Paths } from '../../paths.ts';
import { readState } from '../../vmm/snapshot/machine-state.ts';
import { findTemplate, listTemplates, removeTemplate } from '../../vmm/templates/folder.ts';
import type { Problem } from './problem.ts';

export function* checkTemplates({ templates }: Pick<Paths, 'templates'>): Generator<Problem> {
  for (const { key } of listTemplates(templates)) {
    const problem = problemOf(templates, key);
    if (problem !== undefined)
      yield {
        kind: 'template',
        name: join(templates, key),
        problem,
        repair: { what: 'removed; it is made again', run: () => removeTemplate(templates, key) },
      };
  }
}

function problemOf(folder: string, key: string): string | undefined {
  const files = findTemplate(folder, key);
  if (files === undefined) return 'a file of it is missing, or others may write to it';
  try {
    const { memory } = readState(files.state);
    const { size } = statSync(files.memory);
    return size === memory ? undefined : `its memory has ${size} bytes, not ${memory}`;
  } catch (error) {
    return causeOf(error);
  }
}
