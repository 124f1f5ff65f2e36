import Fastify from 'fastify'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Redis } from 'ioredis'
import { RegistrationRequest } from '../../../routes/models/schemas.ts'

/** What most services do: the same request schema, then one awaited LPUSH. Nothing is durable, and an outage loses the event. */
const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
const redis = new Redis(process.env.REDIS_URL!)

app.post('/models', {
  schema: {
    body: RegistrationRequest,
    response: { 201: Type.Object({ model_id: Type.String(), model_name: Type.String(), version: Type.String() }) }
  }
}, async (request, reply) => {
  const { model_name: modelName, version, token_id: tokenId } = request.body
  await redis.lpush('peer:queue', JSON.stringify(request.body))
  void reply.code(201)
  return { model_id: `${modelName}/${version}/${tokenId}`, model_name: modelName, version }
})

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
