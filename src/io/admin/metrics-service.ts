import { allowsMethod, createHttpService, type HttpService, requestUrl, sendText } from './http-service.ts'

/** What `/readyz` says. */
export interface Readiness {
  readonly ready: boolean
  /** One line a fact, for whoever reads the probe's answer. */
  readonly lines: readonly string[]
}

/** The part of a registry that is served. */
interface Exposition {
  readonly contentType: string
  metrics(): Promise<string>
}

/** The listener for Prometheus and for probes: `/metrics`, `/livez`, `/readyz`, and nothing else. */
export function createMetricsService(registry: Exposition, readiness: () => Readiness): HttpService {
  return createHttpService(async (req, res) => {
    if (!allowsMethod(req, res)) return sendText(res, 405, 'only GET and HEAD\n')
    switch (requestUrl(req)?.pathname) {
      case '/metrics':
        return sendText(res, 200, await registry.metrics(), registry.contentType)
      case '/livez':
        return sendText(res, 200, 'ok\n')
      case '/readyz': {
        const { ready, lines } = readiness()
        return sendText(res, ready ? 200 : 503, `${lines.join('\n')}\n`)
      }
      default:
        return sendText(res, 404, 'there is /metrics, /livez and /readyz\n')
    }
  })
}
