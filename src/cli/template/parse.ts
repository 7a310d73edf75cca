/**
 * Go templates: from tokens to a tree. The parser is pure; evaluation is in evaluate.ts. Nesting is bounded, because
 * the parser is recursive.
 */
import { unquote } from './literals.ts';
import { lex, lineOf, TemplateError, type Token, type TokenKind } from './lex.ts';
import { FUNCTION_NAMES } from './function-names.ts';

export { TemplateError } from './lex.ts';

export type Operand =
  | { kind: 'dot'; at: number }
  | { kind: 'nil'; at: number }
  | { kind: 'constant'; at: number; value: string | number | boolean; text: string }
  | { kind: 'field'; at: number; names: string[] }
  | { kind: 'variable'; at: number; name: string; names: string[] }
  | { kind: 'function'; at: number; name: string }
  | { kind: 'chain'; at: number; of: Operand; names: string[] }
  | Pipe;

export interface CallNode {
  kind: 'call';
  at: number;
  operands: Operand[];
}

export interface Pipe {
  kind: 'pipe';
  at: number;
  /** names of variables: `$a` or `$i, $e` */
  variables: string[];
  /** whether the variables are declared (`:=`) or assigned (`=`) */
  declares: boolean;
  calls: CallNode[];
}

export type Node =
  | { kind: 'text'; text: string }
  | { kind: 'action'; at: number; pipe: Pipe }
  | { kind: 'if' | 'with' | 'range'; at: number; pipe: Pipe; body: Node[]; otherwise: Node[] }
  | { kind: 'template'; at: number; name: string; pipe: Pipe | undefined }
  | { kind: 'break' | 'continue'; at: number };

export interface Template {
  source: string;
  root: Node[];
  /** templates of `define` and `block`, by name */
  defined: Map<string, Node[]>;
}

/** limit of nested actions and parentheses */
const MAX_DEPTH = 200;
/** limit of characters of a template */
const MAX_SOURCE = 1 << 20;

/** @throws TemplateError in Go's words: `template: :1: unclosed action` */
export function parseTemplate(source: string): Template {
  if (source.length > MAX_SOURCE)
    throw new TemplateError(`template: :1: template is longer than ${MAX_SOURCE} characters`);
  const tokens = lex(source);
  const defined = new Map<string, Node[]>();
  let position = 0;
  let depth = 0;
  let rangeDepth = 0;
  let variables: string[] = ['$'];

  const peek = (): Token => tokens[position]!;
  const next = (): Token => {
    const token = tokens[position++]!;
    return token.kind === 'error' ? fail(token.text, token.at) : token;
  };
  const fail = (message: string, at = (tokens[Math.max(0, position - 1)] ?? peek()).at): never => {
    throw new TemplateError(`template: :${lineOf(source, at)}: ${message}`);
  };
  const skipSpace = (): void => {
    while (peek().kind === 'space') position++;
  };
  const nextSolid = (): Token => {
    skipSpace();
    return next();
  };
  const peekSolid = (): Token => {
    skipSpace();
    return peek();
  };
  /** @returns Go's itemType.String(), for error texts */
  const word = (token: Token): string => {
    if (token.kind === 'eof') return 'EOF';
    if (token.kind === 'keyword') return `<${token.text}>`;
    return token.text.length > 10 ? `${JSON.stringify(token.text.slice(0, 10))}...` : JSON.stringify(token.text);
  };
  const unexpected = (token: Token, context: string): never =>
    fail(`unexpected ${word(token)} in ${context}`, token.at);
  const expect = (kind: TokenKind, context: string): Token => {
    const token = nextSolid();
    return token.kind === kind ? token : unexpected(token, context);
  };
  const deeper = <T>(body: () => T): T => {
    if (++depth > MAX_DEPTH) fail('max template nesting exceeded');
    const result = body();
    depth--;
    return result;
  };

  const root: Node[] = [];
  while (peek().kind !== 'eof') {
    const node = parseNode(root, true);
    if (node === 'end' || node === 'else') fail(`unexpected {{${node}}}`);
  }
  return { source, root, defined };

  /** Appends one node to `into`. @returns 'end' or 'else' when `{{end}}` or `{{else}}` came instead */
  function parseNode(into: Node[], top = false): 'end' | 'else' | undefined {
    const token = next();
    if (token.kind === 'text') {
      into.push({ kind: 'text', text: token.text });
      return undefined;
    }
    if (token.kind !== 'left') return unexpected(token, 'input');
    const first = peekSolid();
    if (first.kind !== 'keyword') {
      into.push({ kind: 'action', at: first.at, pipe: parsePipe('command', 'right') });
      return undefined;
    }
    next();
    switch (first.text) {
      case 'end':
        expect('right', 'end');
        return 'end';
      case 'else': {
        const after = peekSolid();
        // The caller handles `{{else if …}}`.
        if (after.kind === 'keyword' && (after.text === 'if' || after.text === 'with')) return 'else';
        expect('right', 'else');
        return 'else';
      }
      case 'if':
      case 'with':
      case 'range':
        into.push(deeper(() => parseControl(first)));
        return undefined;
      case 'break':
      case 'continue':
        if (rangeDepth === 0) fail(`{{${first.text}}} outside {{range}}`);
        expect('right', `{{${first.text}}}`);
        into.push({ kind: first.text, at: first.at });
        return undefined;
      case 'template':
      case 'block': {
        const { at } = peekSolid();
        const name = parseName(`${first.text} clause`);
        let pipe: Pipe | undefined;
        if (first.text === 'template' && peekSolid().kind === 'right') next();
        else pipe = parsePipe(`${first.text} clause`, 'right');
        if (first.text === 'block') defined.set(name, parseDefinition('block clause'));
        into.push({ kind: 'template', at, name, pipe });
        return undefined;
      }
      default: {
        if (!top) unexpected(first, 'command');
        const name = parseName('define clause');
        expect('right', 'define clause');
        defined.set(name, parseDefinition('define clause'));
        return undefined;
      }
    }
  }

  function parseName(context: string): string {
    const token = nextSolid();
    if (token.kind !== 'string' && token.kind !== 'raw') unexpected(token, context);
    return unquote(token.text) ?? fail(`invalid syntax`);
  }

  function parseDefinition(context: string): Node[] {
    const outer = variables;
    const outerRange = rangeDepth;
    variables = ['$'];
    rangeDepth = 0;
    const { nodes, ended } = deeper(parseList);
    if (ended === 'else') fail(`unexpected {{else}} in ${context}`);
    variables = outer;
    rangeDepth = outerRange;
    return nodes;
  }

  function parseList(): { nodes: Node[]; ended: 'end' | 'else' } {
    const nodes: Node[] = [];
    while (peek().kind !== 'eof') {
      const ended = parseNode(nodes);
      if (ended) return { nodes, ended };
    }
    return fail('unexpected EOF', source.length);
  }

  function parseControl(keyword: Token): Node {
    const kind = keyword.text as 'if' | 'with' | 'range';
    const scope = variables.length;
    const pipe = parsePipe(kind, 'right');
    if (kind === 'range') rangeDepth++;
    const { nodes: body, ended } = parseList();
    if (kind === 'range') rangeDepth--;
    let otherwise: Node[] = [];
    if (ended === 'else') {
      const after = peek();
      if (
        after.kind === 'keyword' &&
        (after.text === 'if' || after.text === 'with') &&
        tokens[position - 1]!.kind !== 'right'
      ) {
        if (after.text !== kind) unexpected(after, 'else');
        next();
        // `{{else if}}` shares the `{{end}}` of its `if`.
        otherwise = [deeper(() => parseControl(after))];
      } else {
        const list = parseList();
        if (list.ended === 'else') fail('expected end; found {{else}}');
        otherwise = list.nodes;
      }
    }
    variables.length = scope;
    return { kind, at: pipe.at, pipe, body, otherwise };
  }

  function parsePipe(context: string, end: 'right' | ')'): Pipe {
    const start = peekSolid().at;
    const pipe: Pipe = { kind: 'pipe', at: start, variables: [], declares: false, calls: [] };
    parseDeclarations(pipe, context);
    for (;;) {
      const token = nextSolid();
      if (token.kind === end) {
        if (pipe.calls.length === 0) fail(`missing value for ${context}`, token.at);
        for (const [index, call] of pipe.calls.slice(1).entries()) {
          const kind = call.operands[0]!.kind;
          if (kind === 'constant' || kind === 'dot' || kind === 'nil')
            fail(`non executable command in pipeline stage ${index + 2}`, token.at);
        }
        return pipe;
      }
      if (!OPERAND_STARTS.has(token.kind)) unexpected(token, context);
      position--;
      pipe.calls.push(parseCall());
    }
  }

  function parseDeclarations(pipe: Pipe, context: string): void {
    const mark = position;
    const first = peekSolid();
    if (first.kind !== 'variable') return;
    next();
    const after = peekSolid();
    if (after.kind === ':=' || after.kind === '=') {
      next();
      pipe.declares = after.kind === ':=';
      pipe.variables.push(first.text);
    } else if (after.kind === ',' && context === 'range') {
      next();
      const second = nextSolid();
      if (second.kind !== 'variable') unexpected(second, 'range');
      const sign = nextSolid();
      if (sign.kind === ',') fail('too many declarations in range');
      if (sign.kind !== ':=' && sign.kind !== '=') fail('range can only initialize variables');
      pipe.declares = sign.kind === ':=';
      pipe.variables.push(first.text, second.text);
    } else if (after.kind === ',') {
      fail(`too many declarations in ${context}`);
    } else {
      position = mark;
      return;
    }
    if (pipe.declares) variables.push(...pipe.variables);
  }

  function parseCall(): CallNode {
    const call: CallNode = { kind: 'call', at: peekSolid().at, operands: [] };
    for (;;) {
      skipSpace();
      const operand = parseOperand();
      if (operand) call.operands.push(operand);
      const token = next();
      if (token.kind === 'space') continue;
      if (token.kind === 'right' || token.kind === ')') position--;
      else if (token.kind !== 'pipe') unexpected(token, 'operand');
      break;
    }
    if (call.operands.length === 0) fail('empty command');
    return call;
  }

  function parseOperand(): Operand | undefined {
    const term = parseTerm();
    if (!term || peek().kind !== 'field') return term;
    const at = peek().at;
    const names: string[] = [];
    while (peek().kind === 'field') names.push(next().text.slice(1));
    if (term.kind === 'field') return { ...term, at, names: [...term.names, ...names] };
    if (term.kind === 'variable') return { ...term, at, names: [...term.names, ...names] };
    if (term.kind === 'constant' || term.kind === 'nil' || term.kind === 'dot')
      return fail(`unexpected . after term ${JSON.stringify(showOperand(term))}`);
    return { kind: 'chain', at, of: term, names };
  }

  function parseTerm(): Operand | undefined {
    const token = next();
    switch (token.kind) {
      case 'identifier':
        if (!FUNCTION_NAMES.has(token.text)) fail(`function ${JSON.stringify(token.text)} not defined`, token.at);
        return { kind: 'function', at: token.at, name: token.text };
      case 'dot':
        return { kind: 'dot', at: token.at };
      case 'nil':
        return { kind: 'nil', at: token.at };
      case 'variable':
        if (!variables.includes(token.text)) fail(`undefined variable ${JSON.stringify(token.text)}`, token.at);
        return { kind: 'variable', at: token.at, name: token.text, names: [] };
      case 'field':
        return { kind: 'field', at: token.at, names: [token.text.slice(1)] };
      case 'bool':
        return { kind: 'constant', at: token.at, value: token.text === 'true', text: token.text };
      case 'number': {
        const digits = token.text.replaceAll('_', '');
        const sign = digits.startsWith('-') ? -1 : 1;
        const bare = digits.replace(/^[+-]/, '');
        const value = sign * Number(/^0\d+$/.test(bare) ? `0o${bare.slice(1)}` : bare);
        if (Number.isNaN(value)) fail(`illegal number syntax: ${JSON.stringify(token.text)}`, token.at);
        return { kind: 'constant', at: token.at, value, text: token.text };
      }
      case 'character': {
        const value = unquote(token.text);
        if (value === undefined || [...value].length !== 1)
          fail(`malformed character constant: ${token.text}`, token.at);
        return { kind: 'constant', at: token.at, value: value!.codePointAt(0)!, text: token.text };
      }
      case 'string':
      case 'raw': {
        const value = unquote(token.text);
        if (value === undefined) fail('invalid syntax', token.at);
        return { kind: 'constant', at: token.at, value: value!, text: token.text };
      }
      case '(':
        return deeper(() => parsePipe('parenthesized pipeline', ')'));
      default:
        position--;
        return undefined;
    }
  }
}

const OPERAND_STARTS: ReadonlySet<TokenKind> = new Set([
  'bool',
  'character',
  'dot',
  'field',
  'identifier',
  'number',
  'nil',
  'raw',
  'string',
  'variable',
  '(',
] as const);

/** @returns a node as Go writes it in `at <…>` */
export function showOperand(node: Operand | CallNode): string {
  switch (node.kind) {
    case 'dot':
      return '.';
    case 'nil':
      return 'nil';
    case 'constant':
      return node.text;
    case 'field':
      return node.names.map((name) => `.${name}`).join('');
    case 'variable':
      return [node.name, ...node.names].join('.');
    case 'function':
      return node.name;
    case 'chain':
      return `${node.of.kind === 'pipe' ? `(${showOperand(node.of)})` : showOperand(node.of)}.${node.names.join('.')}`;
    case 'call':
      return node.operands
        .map((operand) => (operand.kind === 'pipe' ? `(${showOperand(operand)})` : showOperand(operand)))
        .join(' ');
    case 'pipe':
      return `${node.variables.length > 0 ? `${node.variables.join(', ')} ${node.declares ? ':=' : '='} ` : ''}${node.calls.map(showOperand).join(' | ')}`;
  }
}
