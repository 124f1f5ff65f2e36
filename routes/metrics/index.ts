import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import type {} from '../../plugins/metrics.ts'
import { headers } from '../../services/http/contract/headers.ts'

/** `GET /metrics` for a Prometheus scraper; 404 where metrics go elsewhere. It asks nothing of any dependency. */
const routes: FastifyPluginAsync = async (fastify) => {
  const { metrics } = fastify
  if (metrics === null) return
  fastify.get('/metrics', {
    logLevel: 'warn',
    config: { pressureHandler: () => {}, rateLimit: false, otel: false },
    schema: {
      operationId: 'getMetrics',
      tags: ['operation'],
      summary: 'Metrics in the Prometheus text format',
      produces: ['text/plain'],
      response: { 200: Type.String({ description: 'See docs/metrics.md.', headers: headers('cache-control') }) }
    }
  }, async (_request, reply) => {
    void reply.type(metrics.registry.contentType).header('cache-control', 'no-store')
    return await metrics.render()
  })
}

export default routes
