interface Document { components: { schemas?: Record<string, unknown> }, paths: Record<string, unknown> }

/**
 * Moves every schema with a title to `components.schemas` and refers to it there, so that the document says a thing once and
 * generated code has a name for it. Two different schemas of one title: the later one stays where it is.
 */
export function hoistTitledSchemas (document: Document): void {
  const schemas: Record<string, unknown> = { ...document.components.schemas }
  document.paths = hoist(document.paths, schemas) as Document['paths']
  document.components.schemas = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => a < b ? -1 : 1))
}

function hoist (node: unknown, schemas: Record<string, unknown>): unknown {
  if (Array.isArray(node)) return node.map((entry) => hoist(entry, schemas))
  if (typeof node !== 'object' || node === null) return node
  const { title, ...rest } = node as Record<string, unknown>
  const inner = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, LITERAL.has(key) ? value : hoist(value, schemas)]))
  if (!isComponentName(title)) return title === undefined ? inner : { title, ...inner }
  if (schemas[title] !== undefined && JSON.stringify(schemas[title]) !== JSON.stringify(inner)) return inner
  schemas[title] = inner
  return { $ref: `#/components/schemas/${title}` }
}

/** What stands under these is data, not schema: a problem has a title too. */
const LITERAL = new Set(['example', 'examples', 'default', 'const', 'enum'])

function isComponentName (title: unknown): title is string {
  return typeof title === 'string' && /^[A-Za-z0-9._-]+$/.test(title)
}
