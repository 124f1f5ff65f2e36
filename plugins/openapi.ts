import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type {} from './auth.ts'
import { parsePluginOptions } from './options.ts'

const OpenapiOptionsSchema = Type.Object({
  title: Type.String({ minLength: 1, description: 'Default "Breakwater".' }),
  version: Type.String({ minLength: 1, description: 'Of the API. Default "1.0.0".' }),
  prefix: Type.String({ pattern: '^/', description: 'Where the reference is. Default `/docs`.' })
}, { additionalProperties: false })

export type OpenapiOptions = Partial<Static<typeof OpenapiOptionsSchema>>

/**
 * The OpenAPI 3.1 document made of the routes' own schemas (`<prefix>/json`, `<prefix>/yaml`), and a reference to browse. Register it before the routes.
 */
const plugin: FastifyPluginAsync<OpenapiOptions> = async (fastify, options) => {
  const { title = 'Breakwater', version = '1.0.0', prefix = '/docs' } = parsePluginOptions('openapi', OpenapiOptionsSchema, options)
  await fastify.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title, version, description: 'Registers machine-learning models and announces each on a queue. Works in full while Redis is down.' },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
          apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'The same key, in a header of its own.' }
        }
      },
      security: [{ bearer: [] }, { apiKey: [] }]
    },
    transform: ({ schema, url, route }) => ({ schema: { ...schema, ...route.config?.scope === 'public' ? { security: [] } : {} }, url })
  })
  await fastify.register(async (reference) => {
    // It describes the API and shows nothing of it.
    reference.addHook('onRoute', (route) => { route.config = { ...route.config, scope: 'public', rateLimit: false } })
    await reference.register(swaggerUi, { routePrefix: prefix, staticCSP: true, uiConfig: { docExpansion: 'list' } })
  })
}

export default fp(plugin, { name: 'breakwater-openapi', fastify: '5.x' })
