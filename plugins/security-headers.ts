import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { loadPeer } from '../services/peers/load-peer.ts'

type Headers = Record<string, string>

/** Answers are data, not pages: nothing in them may be loaded or run. */
const POLICY = { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } }

/**
 * Adds the headers of @fastify/helmet to every answer. They never change, so they are asked for once, here: its hooks make them anew for each
 * request, which costs as much as a small answer.
 */
export async function addSecurityHeaders (fastify: FastifyInstance, feature: string): Promise<void> {
  const all = await helmetHeaders(feature)
  fastify.addHook('onRequest', (_request, reply, done) => {
    void reply.headers(all)
    done()
  })
}

/** Its part of an answer: what the same answer does not have without it. */
async function helmetHeaders (feature: string): Promise<Headers> {
  const { default: helmet } = await loadPeer('@fastify/helmet', feature, () => import('@fastify/helmet'))
  const before = await answerHeaders(async () => {})
  const after = await answerHeaders(async (server) => { await server.register(helmet, { contentSecurityPolicy: POLICY }) })
  return Object.fromEntries(Object.entries(after).filter(([name]) => !(name in before)))
}

async function answerHeaders (prepare: (server: FastifyInstance) => Promise<void>): Promise<Headers> {
  await using server = Fastify()
  await prepare(server)
  server.get('/', async () => '')
  return (await server.inject('/')).headers as Headers
}
