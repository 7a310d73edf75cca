/** What a template may call, known to the parser so that a wrong name fails before anything is printed. */
export const FUNCTION_NAMES: ReadonlySet<string> = new Set([
  // Go's own
  'and', 'or', 'not', 'len', 'index', 'slice', 'print', 'printf', 'println', 'html', 'js', 'urlquery', 'call', 'eq', 'ne', 'lt', 'le', 'gt', 'ge',
  // Docker's
  'json', 'split', 'join', 'title', 'lower', 'upper', 'pad', 'truncate',
]);
