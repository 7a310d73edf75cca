/**
 * Go templates: from tree and data to text. The evaluation is pure. Output, recursion and steps are bounded, because
 * data come from images and containers, and a template may call itself.
 */
import { FUNCTIONS, MAX_TEXT } from './functions.ts';
import {
  entriesOf,
  entryOf,
  fieldOf,
  GoValue,
  hasField,
  indirect,
  isNil,
  itemsOf,
  methodOf,
  typeOf,
} from './go-value.ts';
import { lineOf, TemplateError } from './lex.ts';
import { showOperand, type CallNode, type Node, type Operand, type Pipe, type Template } from './parse.ts';
import { formatValue } from './printf.ts';
import { isObject, isStringList, isTrue, typeName } from './values.ts';

/** limit of nested `{{template}}` calls; Go allows 100,000 on its growing stack */
const MAX_CALLS = 500;
/** limit of nodes that are executed */
const MAX_STEPS = 5_000_000;

export interface EvaluateOptions {
  /** Go's missingkey=error: a key that a map does not have fails, instead of being `<no value>`. */
  missingKey?: 'error';
  /** Go's name of the type of a row, for error texts. @default struct */
  rowType?: string;
}

type ControlNode = Extract<Node, { otherwise: Node[] }>;
type Signal = 'break' | 'continue' | undefined;

/** @throws TemplateError in Go's words: `template: :1:2: executing "" at <.Foo>: …` */
export function evaluate(template: Template, data: unknown, options: EvaluateOptions = {}): string {
  const chunks: string[] = [];
  let size = 0;
  let steps = 0;
  let calls = 0;
  let name = '';
  let variables: { name: string; value: unknown }[] = [{ name: '$', value: data }];

  const fail = (message: string, node: Operand | CallNode | { at: number; show: string }): never => {
    const before = template.source.slice(0, node.at);
    const column = Buffer.byteLength(before.slice(before.lastIndexOf('\n') + 1));
    const context = 'show' in node ? node.show : showOperand(node);
    throw new TemplateError(
      `template: ${name}:${lineOf(template.source, node.at)}:${column}: executing ${JSON.stringify(name)} at <${context}>: ${message}`,
    );
  };
  const write = (text: string): void => {
    size += text.length;
    if (size > MAX_TEXT) throw new TemplateError(`template: ${name}: output is longer than ${MAX_TEXT} characters`);
    chunks.push(text);
  };

  const step = (): void => {
    if (++steps > MAX_STEPS) throw new TemplateError(`template: ${name}: more than ${MAX_STEPS} steps`);
  };

  walk(template.root, data);
  return chunks.join('');

  function walk(nodes: readonly Node[], dot: unknown): Signal {
    for (const node of nodes) {
      step();
      if (node.kind === 'text') write(node.text);
      else if (node.kind === 'break' || node.kind === 'continue') return node.kind;
      else if (node.kind === 'action') {
        const value = pipeline(dot, node.pipe);
        if (node.pipe.variables.length === 0) write(shown(value, node.pipe));
      } else if (node.kind === 'template') callTemplate(node, dot);
      else {
        const signal = control(node as ControlNode, dot);
        if (signal) return signal;
      }
    }
    return undefined;
  }

  function shown(value: unknown, pipe: Pipe): string {
    if (value === undefined || value === null) return '<no value>';
    if (typeof value === 'function') return fail(`can't print ${showOperand(pipe)} of type func`, pipe);
    return formatValue(indirect(value));
  }

  function control(node: ControlNode, dot: unknown): Signal {
    const scope = variables.length;
    let signal: Signal;
    if (node.kind === 'range') signal = range(node, dot);
    else {
      const value = pipeline(dot, node.pipe);
      if (isTrue(value)) signal = walk(node.body, node.kind === 'with' ? value : dot);
      else signal = walk(node.otherwise, dot);
    }
    variables.length = scope;
    return signal;
  }

  function range(node: ControlNode, dot: unknown): Signal {
    const { pipe } = node;
    // The variables of a range get the items, not the list.
    const list = indirect(pipeline(dot, { ...pipe, variables: [] }));
    let items: Iterable<[unknown, unknown]>;
    if (list === null || list === undefined) items = [];
    else if (itemsOf(list)) items = itemsOf(list)!.entries();
    else if (entriesOf(list)) items = entriesOf(list)!;
    else if (typeof list === 'number' && Number.isInteger(list)) items = countUp(list);
    else return fail(`range can't iterate over ${formatValue(list)}`, pipe);
    const scope = variables.length;
    let empty = true;
    for (const [key, value] of items) {
      empty = false;
      step();
      variables.length = scope;
      const [first, second] = pipe.variables;
      if (first !== undefined && second !== undefined) {
        bind(pipe, first, key);
        bind(pipe, second, value);
      } else if (first !== undefined) bind(pipe, first, typeof list === 'number' ? key : value);
      if (walk(node.body, value) === 'break') break;
    }
    variables.length = scope;
    return empty ? walk(node.otherwise, dot) : undefined;
  }

  function bind(pipe: Pipe, variable: string, value: unknown): void {
    if (pipe.declares) variables.push({ name: variable, value });
    else {
      const known = variables.findLast((each) => each.name === variable);
      if (!known) return fail(`undefined variable: ${variable}`, pipe.calls.at(-1)!);
      known.value = value;
    }
  }

  function callTemplate(node: Extract<Node, { kind: 'template' }>, dot: unknown): void {
    const body = template.defined.get(node.name);
    const here = {
      at: node.at,
      show: `{{template ${JSON.stringify(node.name)}${node.pipe ? ` ${showOperand(node.pipe)}` : ''}}}`,
    };
    if (!body) fail(`template ${JSON.stringify(node.name)} not defined`, here);
    if (calls >= MAX_CALLS) fail(`exceeded maximum template depth (${MAX_CALLS})`, here);
    const value = node.pipe ? pipeline(dot, node.pipe) : undefined;
    const [outerName, outerVariables] = [name, variables];
    name = node.name;
    variables = [{ name: '$', value }];
    calls++;
    walk(body!, value);
    calls--;
    name = outerName;
    variables = outerVariables;
  }

  function pipeline(dot: unknown, pipe: Pipe): unknown {
    let value: unknown;
    for (const [index, call] of pipe.calls.entries()) value = command(dot, call, index > 0 ? [value] : []);
    for (const variable of pipe.variables) bind(pipe, variable, value);
    return value;
  }

  /** @param final the value that came through the pipe, which is the last argument */
  function command(dot: unknown, call: CallNode, final: unknown[]): unknown {
    const [first, ...rest] = call.operands as [Operand, ...Operand[]];
    switch (first.kind) {
      case 'function':
        return callFunction(dot, call, first, rest, final);
      case 'field':
        return fields(dot, first.names, first, { dot, rest, final });
      case 'chain':
        return fields(operand(dot, first.of), first.names, first, { dot, rest, final });
      case 'variable': {
        const value = variable(first.name);
        if (first.names.length === 0) {
          if (rest.length > 0 || final.length > 0)
            fail(`can't give argument to non-function ${showOperand(first)}`, first);
          return value;
        }
        return fields(value, first.names, first, { dot, rest, final });
      }
      case 'nil':
        return fail('nil is not a command', first);
      default:
        if (rest.length > 0 || final.length > 0)
          fail(`can't give argument to non-function ${showOperand(first)}`, first);
        return operand(dot, first);
    }
  }

  function operand(dot: unknown, node: Operand): unknown {
    switch (node.kind) {
      case 'dot':
        return dot;
      case 'nil':
        return null;
      case 'constant':
        return node.value;
      case 'pipe':
        return pipeline(dot, node);
      default:
        return command(dot, { kind: 'call', at: node.at, operands: [node] }, []);
    }
  }

  function variable(wanted: string): unknown {
    return variables.findLast((each) => each.name === wanted)?.value;
  }

  function fields(
    from: unknown,
    names: readonly string[],
    node: Operand,
    call: { dot: unknown; rest: readonly Operand[]; final: unknown[] },
  ): unknown {
    let value = from;
    for (const [index, name] of names.entries()) {
      const last = index === names.length - 1;
      value = field(value, name, node, last && (call.rest.length > 0 || call.final.length > 0) ? call : undefined);
    }
    return value;
  }

  function field(
    receiver: unknown,
    wanted: string,
    node: Operand,
    call: { dot: unknown; rest: readonly Operand[]; final: unknown[] } | undefined,
  ): unknown {
    if (receiver === undefined)
      return options.missingKey ? fail(`nil data; no entry for key ${JSON.stringify(wanted)}`, node) : undefined;
    if (receiver === null) return fail(`nil pointer evaluating interface {}.${wanted}`, node);
    const value = methodOf(receiver, wanted) ?? member(receiver, wanted, node);
    if (typeof value === 'function') {
      const values = [...(call?.rest ?? []).map((each) => operand(call!.dot, each)), ...(call?.final ?? [])];
      if (values.length !== value.length)
        fail(`wrong number of args for ${wanted}: want ${value.length} got ${values.length}`, node);
      return invoke(wanted, node, () => (value as (...values: unknown[]) => unknown)(...values));
    }
    if (call) return fail(`${wanted} is not a method but has arguments`, node);
    return value;
  }

  /** @returns a field of a struct or a row, or an entry of a map */
  function member(receiver: unknown, wanted: string, node: Operand): unknown {
    // Without types, every value of the JSON is an interface.
    const unknown = (type: string): never =>
      fail(`can't evaluate field ${wanted} in type ${options.missingKey ? 'interface {}' : type}`, node);
    const missing = (): undefined =>
      options.missingKey ? fail(`map has no entry for key ${JSON.stringify(wanted)}`, node) : undefined;
    if (receiver instanceof Map) return receiver.has(wanted) ? receiver.get(wanted) : missing();
    if (isObject(receiver)) {
      // Only own properties count: `{{.constructor}}` must not reach JavaScript.
      return Object.hasOwn(receiver, wanted) ? receiver[wanted] : unknown(options.rowType ?? 'struct');
    }
    const of = indirect(receiver);
    if (!(of instanceof GoValue)) return unknown(typeName(receiver));
    if (of.type.kind === 'pointer')
      return isNil(of) && (of.type.of.kind !== 'struct' || hasField(of.type, wanted))
        ? fail(`nil pointer evaluating ${typeOf(of)}.${wanted}`, node)
        : unknown(typeOf(of));
    if (of.type.kind === 'map' && of.type.key.name === undefined) {
      const entry = entryOf(of, wanted);
      return entry === undefined ? missing() : entry;
    }
    const field = fieldOf(of, wanted);
    return field === undefined ? unknown(typeName(receiver)) : field;
  }

  function callFunction(
    dot: unknown,
    call: CallNode,
    node: Extract<Operand, { kind: 'function' }>,
    rest: readonly Operand[],
    final: unknown[],
  ): unknown {
    const called = FUNCTIONS[node.name]!;
    const count = rest.length + final.length;
    if (count < called.minimum || count > called.maximum) {
      const want = called.maximum === called.minimum ? `want ${called.minimum}` : `want at least ${called.minimum}`;
      fail(`wrong number of args for ${node.name}: ${want} got ${count}`, node);
    }
    if (node.name === 'and' || node.name === 'or') {
      let value: unknown;
      for (const each of [...rest.map((item) => () => operand(dot, item)), ...final.map((item) => () => item)]) {
        value = each();
        if (isTrue(value) === (node.name === 'or')) return value;
      }
      return value;
    }
    const values = [...rest.map((each) => operand(dot, each)), ...final];
    for (const position of called.strings ?? []) {
      if (typeof values[position] === 'string') continue;
      const typed = rest[position];
      if (typed?.kind === 'constant') fail(`expected string; found ${typed.text}`, typed);
      fail(`wrong type for value; expected string; got ${typeName(values[position])}`, typed ?? node);
    }
    for (const position of called.lists ?? []) {
      if (!isStringList(values[position]))
        fail(`wrong type for value; expected []string; got ${typeName(values[position])}`, rest[position] ?? node);
    }
    return invoke(node.name, call, () => (called.call as (...values: unknown[]) => unknown)(...values));
  }

  function invoke(called: string, node: Operand | CallNode, body: () => unknown): unknown {
    try {
      const value = body();
      if (typeof value === 'string' && value.length > MAX_TEXT)
        throw new Error(`result is longer than ${MAX_TEXT} characters`);
      return value;
    } catch (error) {
      if (error instanceof TemplateError) throw error;
      return fail(`error calling ${called}: ${(error as Error).message}`, node);
    }
  }
}

/** Yields the range of a number (`{{range 3}}`), which is not built in advance. */
function* countUp(limit: number): Generator<[number, number]> {
  for (let index = 0; index < limit; index++) yield [index, index];
}
