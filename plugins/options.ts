import createError from '@fastify/error'
import type { Static, TObject } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { nearest } from '../services/naming/nearest.ts'

/** A plugin was registered with an option that does not exist or breaks its rule. */
export const OptionInvalid = createError<[string, string]>(
  'FST_BRK_OPTION_INVALID',
  'Plugin "%s" was not registered: %s.',
  500
)

/**
 * Checks a plugin's options once, at registration, against the schema that documents them. Every option may be left out.
 * @throws {OptionInvalid} naming each wrong option, its rule and, for a misspelt one, the nearest name.
 */
export function parsePluginOptions<T extends TObject> (plugin: string, schema: T, options: object): Partial<Static<T>> {
  const names = Object.keys(schema.properties)
  const problems = Object.entries(options).flatMap(([name, value]) => {
    const rule = schema.properties[name]
    // Fastify adds these to the options of every plugin that is registered under a prefix.
    if (name === 'prefix' || name === 'logLevel' || name === 'logSerializers' || value === undefined) return []
    if (rule === undefined) return [`there is no option "${name}", did you mean "${nearest(name, names)}"?`]
    const error = Value.Errors(rule, value).First()
    return error === undefined ? [] : [`option "${name}": ${error.message}`]
  })
  if (problems.length > 0) throw new OptionInvalid(plugin, problems.join('; '))
  return options as Partial<Static<T>>
}
