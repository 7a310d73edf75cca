/**
 * The judge of the API's answers: moby's own schema of API 1.51 (swagger-1.51.yaml.gz beside this file: moby,
 * api/swagger.yaml, Apache-2.0), held against JSON by ajv. A test hands it every answer that it gets.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Ajv, type ValidateFunction } from 'ajv';
import { parse } from 'yaml';

type Schema = Record<string, unknown>;
type Definitions = Record<string, Schema>;

interface Operation {
  parameters?: { name: string; in: string; schema?: Schema }[];
  responses: Record<string, { schema?: Schema }>;
}

interface Swagger {
  paths: Record<string, Record<string, Operation>>;
  definitions: Definitions;
}

/**
 * What dockerd 26 answers otherwise than its schema says: `null` where a list or a map of Go is empty. Each is the end
 * of a path in an answer, and was recorded.
 */
const RECORDED_NULLS = [
  'Aliases',
  'AllowNondistributableArtifactsCIDRs',
  'AllowNondistributableArtifactsHostnames',
  'Authorization',
  'Binds',
  'BuildCache',
  'CapAdd',
  'CapDrop',
  'Cmd',
  'Config',
  'Containers',
  'DNSNames',
  'DeviceCgroupRules',
  'DeviceRequests',
  // of a driver that tells nothing, as with containerd's snapshotters
  'Data',
  'Devices',
  'Dns',
  'DnsOptions',
  'DnsSearch',
  'Entrypoint',
  'Env',
  'DriverOpts',
  'ExecIDs',
  'ExtraHosts',
  'GenericResources',
  'GroupAdd',
  'Images',
  'Labels',
  'Links',
  'Mirrors',
  'OnBuild',
  'Options',
  'PidsLimit',
  'RepoDigests',
  'RepoTags',
  'SecurityOpt',
  'Tags',
  'Ulimits',
  'Volumes',
  'VolumesFrom',
  'Warnings',
];
/**
 * Its numbers and truths that are `null` where nobody has asked for any, and the host's cgroups have none; recorded
 * too.
 */
const UNSET = ['MemorySwappiness', 'OomKillDisable'];

/** Makes JSON Schema of what Swagger says in its own way, and null of what may be null. */
function translate(schema: unknown, property = ''): unknown {
  if (Array.isArray(schema)) return schema.map((each) => translate(each));
  if (typeof schema !== 'object' || schema === null) return schema;
  const { 'x-nullable': nullable, example: _example, default: _default, ...rest } = schema as Schema;
  const translated: Schema = {};
  for (const [key, value] of Object.entries(rest))
    translated[key] =
      key === 'properties'
        ? Object.fromEntries(Object.entries(value as Definitions).map(([name, each]) => [name, translate(each, name)]))
        : key === 'required' || key === 'enum' || key === 'description'
          ? value
          : translate(value);
  const isList = rest['type'] === 'array' || (rest['type'] === 'object' && rest['additionalProperties'] !== undefined);
  if (
    nullable === true ||
    UNSET.includes(property) ||
    (RECORDED_NULLS.includes(property) && (isList || '$ref' in rest))
  )
    return { anyOf: [{ type: 'null' }, translated] };
  return translated;
}

const swagger = parse(
  gunzipSync(readFileSync(join(import.meta.dirname, 'swagger-1.51.yaml.gz'))).toString('utf8'),
) as Swagger;

const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema({
  $id: 'docker',
  definitions: Object.fromEntries(
    Object.entries(swagger.definitions).map(([name, schema]) => [name, translate(schema)]),
  ),
});

const compiled = new Map<Schema, ValidateFunction>();

function check(schema: Schema, value: unknown, what: string): void {
  let validate = compiled.get(schema);
  if (!validate) {
    // references are to the definitions, which have a document of their own
    const text = JSON.stringify(translate(schema)).replaceAll('"#/definitions/', '"docker#/definitions/');
    validate = ajv.compile(JSON.parse(text) as Schema);
    compiled.set(schema, validate);
  }
  if (validate(value)) return;
  const complaints = (validate.errors ?? []).map(({ instancePath, message, params }) =>
    [instancePath || '/', message, JSON.stringify(params)].join(' '),
  );
  throw new Error(`${what} is not as the schema says:\n${complaints.join('\n')}\nin ${JSON.stringify(value)}`);
}

/** Templates with their patterns; names of images have slashes, and the most literal path is tried first. */
const templates = Object.keys(swagger.paths)
  .map((template) => ({
    template,
    pattern: new RegExp(
      `^${template
        .split(/\{[^}]+\}/)
        .map((literal) => literal.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
        .join(/^\/(images|distribution|plugins)\//.test(template) ? '.+' : '[^/]+')}$`,
    ),
  }))
  .sort((a, b) => a.template.split('{').length - b.template.split('{').length || b.template.length - a.template.length);

/** @returns the operation of a path such as `/v1.44/images/a/b:1/json?x=y`; undefined where the schema has none */
function operationOf(method: string, path: string): Operation | undefined {
  const bare = path.replace(/\?.*$/s, '').replace(/^\/v\d+\.\d+(?=\/)/, '');
  for (const { template, pattern } of templates) {
    const operation = pattern.test(bare) ? swagger.paths[template]![method.toLowerCase()] : undefined;
    if (operation) return operation;
  }
  return undefined;
}

/**
 * Holds an answer against the schema. Errors of 4xx and 5xx are `{ message }`, whether or not the schema lists them.
 * @param value the answer's JSON; undefined for none
 * @throws Error that names what is wrong, and where
 */
export function judge(method: string, path: string, status: number, value: unknown): void {
  const what = `${method} ${path}: the answer ${status}`;
  if (status >= 400) return check(swagger.definitions['ErrorResponse']!, value, what);
  const operation = operationOf(method, path);
  if (!operation) throw new Error(`${method} ${path}: the schema has no such route`);
  const response = operation.responses[String(status)];
  if (!response) throw new Error(`${what}: the schema knows ${Object.keys(operation.responses).join(', ')} only`);
  if (response.schema) return check(response.schema, value, what);
  if (value !== undefined) throw new Error(`${what} has a body, and the schema has none: ${JSON.stringify(value)}`);
}

/** Holds a value against a definition: lines of a stream, as `CreateImageInfo`, `PushImageInfo`, `EventMessage`. */
export function judgeAs(definition: string, value: unknown): void {
  const schema = swagger.definitions[definition];
  if (!schema) throw new Error(`the schema has no definition ${definition}`);
  check(schema, value, definition);
}

/**
 * @returns the fields of a request's body: those of the body parameter's schema, `name` alone or `a.b` for fields in
 * it. Lists and maps end a path.
 */
export function bodyFields(method: string, path: string): string[] {
  const schema = operationOf(method, path)?.parameters?.find(({ in: place }) => place === 'body')?.schema;
  if (!schema) throw new Error(`${method} ${path}: the schema has no body`);
  return fieldsOf(schema, '');
}

function fieldsOf(schema: Schema, prefix: string): string[] {
  const reference = schema['$ref'] as string | undefined;
  if (reference !== undefined) return fieldsOf(swagger.definitions[reference.replace('#/definitions/', '')]!, prefix);
  const parts = (schema['allOf'] as Schema[] | undefined) ?? [];
  const own = Object.entries((schema['properties'] as Definitions | undefined) ?? {}).flatMap(([name, each]) => {
    const inner = fieldsOf(each, `${prefix}${name}.`);
    return inner.length > 0 ? inner : [`${prefix}${name}`];
  });
  return [...own, ...parts.flatMap((part) => fieldsOf(part, prefix))];
}
