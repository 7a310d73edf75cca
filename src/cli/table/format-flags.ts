/** `--format` of lists and of inspections. This module has data only. */
import type { Flag } from '../grammar/flag.ts';

export const FORMAT_LIST: Flag = {
  name: 'format',
  type: 'string',
  help: "Form of the output:\n'table':            A table with column headers (default)\n'table TEMPLATE':   A table whose columns a Go template gives\n'json':             One JSON object a line\n'TEMPLATE':         What a Go template gives",
  complete: ['table', 'json'],
};

export const FORMAT_INSPECT: Flag = {
  name: 'format',
  short: 'f',
  type: 'string',
  help: "Form of the output:\n'json':             JSON in one line\n'TEMPLATE':         What a Go template gives",
  complete: ['json'],
};
