import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { KeyRequired, ScopeInsufficient } from '../services/access/errors.ts'
import { KeyRing, opens } from '../services/access/key-ring.ts'
import type { Caller } from '../services/access/key-ring.ts'
import type { ApiKey, Scope } from '../services/config/api-keys.ts'
import { parsePluginOptions } from './options.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a route needs. Default: `read` for GET and HEAD, `write` for all others. `public`: nothing. */
    scope?: Scope | 'public'
  }
  interface FastifyRequest {
    /** Whose key came with the request; null where none is needed. */
    caller: Caller | null
  }
}

export const AuthOptionsSchema = Type.Object({
  keys: Type.Array(Type.Object({ name: Type.String(), scope: Type.String(), sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }) }), {
    description: 'Digests of the keys that are valid. Default: API_KEYS. None: every request is let through.'
  })
}, { additionalProperties: false })

export interface AuthOptions { keys?: ApiKey[] }

/**
 * Lets a request through only with an API key whose scope its route asks for (`config: { scope }`). Register it before the routes.
 * @throws FST_BRK_KEY_REQUIRED (401) and FST_BRK_SCOPE_INSUFFICIENT (403), to the caller
 */
const plugin: FastifyPluginAsync<AuthOptions> = async (fastify, options) => {
  const given = parsePluginOptions('auth', AuthOptionsSchema, options) as AuthOptions
  const keys = given.keys ?? (fastify.hasDecorator('config') ? fastify.config.access.keys : [])
  fastify.decorateRequest('caller', null)
  if (keys.length === 0) return
  const ring = new KeyRing(keys)
  fastify.addHook('onRequest', (request, reply, done) => {
    const needed = neededScope(request)
    if (needed === 'public') return done()
    request.caller = ring.identify(request.headers)
    if (request.caller !== null) return opens(request.caller, needed) ? done() : done(new ScopeInsufficient(needed))
    void reply.header('www-authenticate', 'Bearer')
    done(new KeyRequired())
  })
}

/** What is not there needs no key: a wrong address must not look like a locked door. */
function neededScope ({ is404, method, routeOptions }: FastifyRequest): Scope | 'public' {
  if (is404) return 'public'
  return routeOptions.config.scope ?? (method === 'GET' || method === 'HEAD' ? 'read' : 'write')
}

export default fp(plugin, { name: 'breakwater-auth', fastify: '5.x' })
