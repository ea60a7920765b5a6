import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseIp } from '../../core/names/ip.ts'
import { isLoopback } from '../../core/names/special-purpose.ts'
import type { ClientGroup } from '../../core/policy/client-group.ts'
import { describeEntry, describeExplanation } from '../../core/policy/describe.ts'
import { explain } from '../../core/policy/explain.ts'
import { parseExplainTarget } from '../../core/policy/explain-target.ts'
import type { Policy } from '../../core/policy/policy.ts'
import type { Generation } from '../proxy/generation.ts'
import type { TunnelRow } from '../proxy/tunnels.ts'
import type { DenialRow } from '../telemetry/recent-denials.ts'
import { hasToken } from './bearer-token.ts'
import { createHttpService, type HttpService, isOwnName, requestUrl, sendJson } from './http-service.ts'

/** At hand, or with other processes that have to be asked. */
type Awaitable<T> = T | Promise<T>

export interface AdminSources {
  readonly generation: () => Generation
  readonly status: () => Awaitable<Record<string, unknown>>
  readonly denials: () => Awaitable<readonly DenialRow[]>
  /** How many are open, and the first of them. */
  readonly tunnels: () => Awaitable<{ readonly open: number; readonly tunnels: readonly TunnelRow[] }>
  /** False where there is none of that name. */
  readonly endTunnel: (id: string) => Awaitable<boolean>
  /** Absent where none is configured: nothing can be changed then. */
  readonly token: () => string | undefined
  readonly reload: () => Promise<ReloadReport>
}

/** What came of a reload. */
type ReloadReport = { readonly outcome: 'loaded' } | { readonly outcome: 'failed' }

/**
 * The admin API: what the gateway is doing and why, as JSON; with the token it can be told to reload or to end a tunnel. On any
 * address but loopback everything needs the token.
 */
export function createAdminService(sources: AdminSources): HttpService {
  return createHttpService(async (req, res) => {
    const { admin } = sources.generation().config
    if (!isOwnName(req, admin.hosts))
      return sendJson(res, 421, { error: 'ask by address, as localhost or by a name in `admin.hosts`' })
    if (!isOverLoopback(req) && !isAuthorised(sources.token(), req, res)) return
    if (req.method === 'GET' || req.method === 'HEAD') return read(sources, req, res)
    // Nothing that is sent along has a meaning.
    req.resume()
    const change = changeFor(sources, req)
    if (change === undefined) {
      res.setHeader('Allow', 'GET, HEAD')
      return sendJson(res, 405, {
        error: 'there is POST /api/v1/reload and DELETE /api/v1/tunnels/ID; all else is read with GET',
      })
    }
    if (isAuthorised(sources.token(), req, res)) await change(res)
  })
}

/** Answers what is missing where the call may not be made. */
function isAuthorised(token: string | undefined, req: IncomingMessage, res: ServerResponse): boolean {
  if (token === undefined) {
    sendJson(res, 403, { error: 'this takes a token, and none is configured: set `admin.tokenFile`' })
    return false
  }
  if (hasToken(req, token)) return true
  res.setHeader('WWW-Authenticate', 'Bearer realm="sallyport"')
  sendJson(res, 401, { error: 'send `Authorization: Bearer TOKEN`' })
  return false
}

function isOverLoopback({ socket }: IncomingMessage): boolean {
  const address = parseIp(socket.localAddress?.replace(/%.*$/, '') ?? '')
  return address !== undefined && isLoopback(address)
}

/** The policy that is asked about: with `?group=NAME` that of a client group. */
function whose(
  policy: Policy,
  { searchParams }: URL,
  res: ServerResponse,
  answer: (own: Policy, group?: ClientGroup) => void,
): void {
  const name = searchParams.get('group')
  if (name === null) return answer(policy)
  const group = policy.groups.find((one) => one.name === name)
  if (group === undefined) return sendJson(res, 404, { error: 'there is no such client group' })
  return answer(group.policy, group)
}

type Change = (res: ServerResponse) => void | Promise<void>

function changeFor(sources: AdminSources, req: IncomingMessage): Change | undefined {
  const path = requestUrl(req)?.pathname ?? ''
  if (req.method === 'POST' && path === '/api/v1/reload') {
    return async (res) => {
      const report = await sources.reload()
      sendJson(res, report.outcome === 'loaded' ? 200 : 422, report)
    }
  }
  const id = /^\/api\/v1\/tunnels\/([0-9a-f-]+)$/.exec(path)?.[1]
  return req.method === 'DELETE' && id !== undefined ? (res) => endTunnel(sources, id, res) : undefined
}

async function endTunnel(sources: AdminSources, id: string, res: ServerResponse): Promise<void> {
  if (await sources.endTunnel(id)) sendJson(res, 200, { ended: id })
  else sendJson(res, 404, { error: 'there is no such tunnel, or it has ended' })
}

async function read(sources: AdminSources, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = requestUrl(req)
  const { policy, inspection } = sources.generation()
  switch (url?.pathname) {
    case '/api/v1/status':
      return sendJson(res, 200, await sources.status())
    case '/api/v1/entries':
      return whose(policy, url, res, (own) => sendJson(res, 200, { entries: own.entries.map(describeEntry) }))
    case '/api/v1/denials':
      return sendJson(res, 200, { denials: await sources.denials() })
    case '/api/v1/tunnels':
      return sendJson(res, 200, await sources.tunnels())
    case '/api/v1/explain': {
      const asked = url.searchParams.get('target')
      if (asked === null) return sendJson(res, 400, { error: 'ask with ?target=host:port or ?target=URL' })
      const target = parseExplainTarget(asked, url.searchParams.get('method') ?? undefined)
      if (!target.ok) return sendJson(res, 400, { error: target.error })
      const mayInspect = inspection?.permits(target.value.authority.host) ?? false
      return whose(policy, url, res, (own, group) =>
        sendJson(res, 200, describeExplanation(explain(own, target.value, !group?.neverInspected && mayInspect))),
      )
    }
    default:
      return sendJson(res, 404, { error: 'there is /api/v1/{status,entries,denials,explain,tunnels}' })
  }
}
