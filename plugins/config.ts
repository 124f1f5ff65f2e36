import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { startupLine } from '../services/config/describe.ts'
import { assertUsable, loadConfig } from '../services/config/load.ts'
import type { Config, LoadedConfig } from '../services/config/load.ts'
import { parsePluginOptions } from './options.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The configuration of this process: validated, complete, deeply frozen. */
    config: Config
  }
}

export interface ConfigPluginOptions {
  /** Where the variables come from. Default: `process.env`. */
  env?: NodeJS.ProcessEnv
  /** What somebody has read from them already, for example to construct the server. Default: they are read here. */
  loaded?: LoadedConfig
}

export const ConfigOptionsSchema = Type.Object({
  env: Type.Object({}, { description: 'Default: `process.env`.' }),
  loaded: Type.Object({ config: Type.Object({}), errors: Type.Array(Type.Unknown()), warnings: Type.Array(Type.Unknown()) }, {
    description: 'What `loadConfig()` returned. Default: the variables are read here.'
  })
}, { additionalProperties: false })

/**
 * Decorates `fastify.config`.
 *
 * @throws {ConfigError} FST_BRK_CONFIG_INVALID when the service must not start: a variable outside Redis is invalid, or one
 * of Redis is and REDIS_REQUIRED is true. Otherwise an invalid Redis configuration disables Redis and is logged in full.
 */
const plugin: FastifyPluginAsync<ConfigPluginOptions> = async (fastify, options) => {
  parsePluginOptions('config', ConfigOptionsSchema, options)
  const loaded = options.loaded ?? loadConfig(options.env ?? process.env)
  assertUsable(loaded)
  fastify.decorate('config', loaded.config)
  logOutcome(fastify, loaded)
}

function logOutcome (fastify: FastifyInstance, { config, errors, warnings }: LoadedConfig): void {
  const log = fastify.log.child({ component: 'config' })
  const redis = startupLine(config.redis.resolution)
  if (errors.length > 0) log.error({ redis, errors }, `Redis is disabled because its configuration is invalid: ${messages(errors)}`)
  else if (redis.state === 'disabled') log.info({ redis }, 'Redis is disabled: neither REDIS_URL nor REDIS_HOST is set')
  else log.info({ redis }, 'Redis is configured')
  if (warnings.length > 0) log.warn({ warnings }, `configuration warnings: ${messages(warnings)}`)
}

function messages (problems: LoadedConfig['errors']): string {
  return problems.map(({ message }) => message).join(' ')
}

export default fp(plugin, { name: 'breakwater-config', fastify: '5.x' })
