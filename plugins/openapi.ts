import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifySchema, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { OperationFacts } from '../services/http/contract/common-errors.ts'
import { FACTS, completeDocument } from '../services/http/contract/document.ts'
import { STANDARD_HEADERS } from '../services/http/contract/headers.ts'
import { loadPeer } from '../services/peers/load-peer.ts'
import type {} from './auth.ts'
import { parsePluginOptions } from './options.ts'

export const OpenapiOptionsSchema = Type.Object({
  title: Type.String({ minLength: 1, description: 'Default "Breakwater".' }),
  version: Type.String({ minLength: 1, description: 'Of the API. Default "1.0.0".' }),
  prefix: Type.String({ pattern: '^/', description: 'Where the reference is. Default `/docs`.' })
}, { additionalProperties: false })

export type OpenapiOptions = Partial<Static<typeof OpenapiOptionsSchema>>

const FEATURE = 'Plugin "openapi"'

const DESCRIPTION = `Registers machine-learning models and announces each on a queue. Works in full while Redis is down.

Each operation lists the errors that it can answer with, by status and \`code\`. Any address can also answer 404 \`FST_BRK_ROUTE_NOT_FOUND\` or
405 \`FST_BRK_METHOD_NOT_ALLOWED\`, and what cannot be read as a request 400, 408 or 431: these belong to no operation. GET operations answer HEAD as well, without a body; except the live events.
Besides the headers described, answers carry these standard ones: ${STANDARD_HEADERS.map((name) => `\`${name}\``).join(', ')}.`

/**
 * The OpenAPI 3.1 document made of the routes' own schemas (`<prefix>/json`, `<prefix>/yaml`), and a reference to browse. Register it before the routes.
 * @throws FST_BRK_PEER_MISSING, FST_BRK_OPTION_INVALID. It needs @fastify/swagger and @fastify/swagger-ui
 */
const plugin: FastifyPluginAsync<OpenapiOptions> = async (fastify, options) => {
  const { title = 'Breakwater', version = '1.0.0', prefix = '/docs' } = parsePluginOptions('openapi', OpenapiOptionsSchema, options)
  const { default: swagger } = await loadPeer('@fastify/swagger', FEATURE, () => import('@fastify/swagger'))
  const { default: swaggerUi } = await loadPeer('@fastify/swagger-ui', FEATURE, () => import('@fastify/swagger-ui'))
  await fastify.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title, version, description: DESCRIPTION },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
          apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'The same key, in a header of its own.' }
        }
      },
      security: [{ bearer: [] }, { apiKey: [] }]
    },
    transform: ({ schema, url, route }) => ({ schema: withFacts(fastify, schema, route), url }),
    transformObject: (draft) => completeDocument('openapiObject' in draft ? draft.openapiObject : draft.swaggerObject)
  })
  await fastify.register(async (reference) => {
    // It describes the API and shows nothing of it.
    reference.addHook('onRoute', (route) => { route.config = { ...route.config, scope: 'public' } })
    await reference.register(swaggerUi, { routePrefix: prefix, staticCSP: true, uiConfig: { docExpansion: 'list' } })
  })
}

/** Says in the draft what the other plugins make of a route. */
function withFacts (fastify: FastifyInstance, schema: FastifySchema | undefined, route: RouteOptions): FastifySchema {
  const { config = {}, method, url } = route
  const reads = method === 'GET' || method === 'HEAD'
  const facts: OperationFacts = {
    scope: fastify.hasPlugin('breakwater-auth') ? config.scope ?? (reads ? 'read' : 'write') : null,
    limited: fastify.hasPlugin('breakwater-protection') && config.rateLimit !== false,
    shed: fastify.hasPlugin('breakwater-pressure') && !('pressureHandler' in config),
    takesBody: !reads,
    hasPathParameters: url.includes(':'),
    validated: schema?.body !== undefined || schema?.querystring !== undefined || hasPattern(schema?.params)
  }
  const open = facts.scope === 'public' ? { security: [] } : {}
  return Object.assign({ ...schema, ...open }, { [FACTS]: facts })
}

/** Every part of a path has between one and 255 characters anyway: a schema that asks for no more refuses nothing. */
function hasPattern (params: unknown): boolean {
  const { properties = {} } = Object(params) as { properties?: Record<string, { pattern?: string }> }
  return Object.values(properties).some(({ pattern }) => pattern !== undefined)
}

export default fp(plugin, { name: 'breakwater-openapi', fastify: '5.x' })
