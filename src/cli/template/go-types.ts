/**
 * Go's types, as far as templates can see them: kinds, names, the fields of structs in their order, JSON tags and
 * methods. The tables of Docker's types (`src/cli/types/`) are made with them, and go-value.ts reads JSON through them.
 * This module is pure data.
 */

/** Methods by name; each is called with the JSON of the value, and with the template's arguments. */
type Methods = Readonly<Record<string, (json: never, ...values: unknown[]) => unknown>>;

interface Behaviour {
  methods?: Methods;
  /** Go's String(), whose text is printed instead of the value. */
  text?: (json: never) => string;
}

export interface BasicType extends Behaviour {
  kind: 'string' | 'int' | 'bool' | 'float64';
  /** name of the type; absent for Go's own types, to which a type with a name is not assignable */
  name?: string;
  /** the value that stands for a missing one, where that is not the kind's own zero */
  zero?: string;
}

export interface StructType extends Behaviour {
  kind: 'struct';
  name: string;
  fields: readonly Field[];
}

export type GoType =
  | BasicType
  | StructType
  | { kind: 'any' }
  | { kind: 'pointer'; of: GoType }
  /** `length` marks an array, which is never nil. */
  | { kind: 'slice'; of: GoType; name?: string; length?: number }
  | { kind: 'map'; key: BasicType; of: GoType; name?: string };

export interface Field {
  name: string;
  /** the name in JSON; absent where Go leaves the field out ("-") */
  json?: string;
  type: GoType;
  omitEmpty: boolean;
  /** Whether the field's own fields are the struct's as well, in JSON and in templates. */
  embedded: boolean;
  /** Whether the field is husk's own: templates and JSON have it, `{{.}}` prints Docker's fields only. */
  own: boolean;
}

type FieldOf = Partial<Omit<Field, 'name' | 'type'>> & { type: GoType };

export const string: BasicType = { kind: 'string' };
export const int: BasicType = { kind: 'int' };
export const bool: BasicType = { kind: 'bool' };
/** `interface {}`: any value that the JSON has */
export const any: GoType = { kind: 'any' };

export const pointer = (of: GoType): GoType => ({ kind: 'pointer', of });
export const slice = (of: GoType, name?: string): GoType => ({ kind: 'slice', of, name });
export const array = (of: GoType, length: number): GoType => ({ kind: 'slice', of, length });
export const map = (of: GoType, key: BasicType = string, name?: string): GoType => ({ kind: 'map', key, of, name });
export const named = (
  kind: BasicType['kind'],
  name: string,
  behaviour: Behaviour & { zero?: string } = {},
): BasicType => ({ kind, name, ...behaviour });

/** Declares a field that has another name in JSON. */
export const field = (json: string, type: GoType): FieldOf => ({ json, type });
/** Declares a field with `omitempty`: JSON that husk writes leaves it out where it is empty. */
export const omitEmpty = (type: GoType, json?: string): FieldOf => ({
  type,
  omitEmpty: true,
  ...(json !== undefined && { json }),
});
export const embedded = (type: GoType): FieldOf => ({ type, embedded: true });
export const own = (type: GoType): FieldOf => ({ type, own: true });
/** Declares a field with `json:"-"`. */
export const unwritten = (type: GoType): FieldOf => ({ type, json: undefined });

/** @param fields the fields in Go's order; JSON has the same name unless `field` gives another */
export function struct(
  name: string,
  fields: Readonly<Record<string, GoType | FieldOf>>,
  behaviour: Behaviour = {},
): StructType {
  return {
    kind: 'struct',
    name,
    fields: Object.entries(fields).map(([each, type]) => ({
      name: each,
      json: each,
      omitEmpty: false,
      embedded: false,
      own: false,
      ...('type' in type ? type : { type }),
    })),
    ...behaviour,
  };
}

export const STRINGS = slice(string);
export const STRING_MAP = map(string);

/** @returns the name as Go's reflection spells it: `*container.State`, `map[string]string` */
export function nameOfType(type: GoType): string {
  switch (type.kind) {
    case 'any':
      return 'interface {}';
    case 'pointer':
      return `*${nameOfType(type.of)}`;
    case 'slice':
      return type.name ?? `[${type.length ?? ''}]${nameOfType(type.of)}`;
    case 'map':
      return type.name ?? `map[${nameOfType(type.key)}]${nameOfType(type.of)}`;
    default:
      return type.name ?? type.kind;
  }
}
