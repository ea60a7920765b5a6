import type { IncomingMessage, ServerResponse } from 'node:http'
import { describeEntry, describeExplanation } from '../../core/policy/describe.ts'
import { explain } from '../../core/policy/explain.ts'
import { parseExplainTarget } from '../../core/policy/explain-target.ts'
import type { Generation } from '../proxy/generation.ts'
import type { OpenTunnel } from '../proxy/tunnels.ts'
import type { DenialRow } from '../telemetry/recent-denials.ts'
import { createHttpService, type HttpService, isOwnName, requestUrl, sendJson } from './http-service.ts'

export interface AdminSources {
  readonly generation: () => Generation
  readonly status: () => Record<string, unknown>
  readonly denials: () => readonly DenialRow[]
  readonly tunnels: () => readonly OpenTunnel[]
}

/** Tunnels shown at once. */
const MAX_TUNNELS_SHOWN = 1_000

/** The admin API: what the gateway is doing and why, as JSON. Read-only. */
export function createAdminService(sources: AdminSources): HttpService {
  return createHttpService((req, res) => {
    if (!isOwnName(req, [])) return sendJson(res, 421, { error: 'ask by address or as localhost' })
    if (req.method !== 'GET' && req.method !== 'HEAD') return sendJson(res, 405, { error: 'only GET' })
    route(sources, req, res)
  })
}

function route(sources: AdminSources, req: IncomingMessage, res: ServerResponse): void {
  const url = requestUrl(req)
  const { policy, inspection } = sources.generation()
  switch (url?.pathname) {
    case '/api/v1/status':
      return sendJson(res, 200, sources.status())
    case '/api/v1/entries':
      return sendJson(res, 200, { entries: policy.entries.map(describeEntry) })
    case '/api/v1/denials':
      return sendJson(res, 200, { denials: sources.denials() })
    case '/api/v1/tunnels': {
      const tunnels = sources.tunnels()
      return sendJson(res, 200, { open: tunnels.length, tunnels: tunnels.slice(0, MAX_TUNNELS_SHOWN).map(describeTunnel) })
    }
    case '/api/v1/explain': {
      const asked = url.searchParams.get('target')
      if (asked === null) return sendJson(res, 400, { error: 'ask with ?target=host:port or ?target=URL' })
      const target = parseExplainTarget(asked, url.searchParams.get('method') ?? undefined)
      if (!target.ok) return sendJson(res, 400, { error: target.error })
      return sendJson(
        res,
        200,
        describeExplanation(explain(policy, target.value, inspection?.permits(target.value.authority.host) ?? false)),
      )
    }
    default:
      return sendJson(res, 404, { error: 'there is /api/v1/{status,entries,denials,explain,tunnels}' })
  }
}

function describeTunnel({ exchange, since, bytesUp, bytesDown }: OpenTunnel): Record<string, unknown> {
  const { id, connection, target, entry } = exchange
  return {
    id,
    listener: connection.listener,
    client: connection.client.text,
    clientPort: connection.clientPort,
    host: target?.host.text,
    port: target?.port,
    entry: entry?.id,
    since: since.toISOString(),
    bytesUp: bytesUp(),
    bytesDown: bytesDown(),
  }
}
