import { formatAuthority, parseAuthority } from '../../core/names/authority.ts'
import { parseIp } from '../../core/names/ip.ts'
import { directNames, type ProxySettings, pacScript, shellExports } from '../../core/policy/client-settings.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Answer } from '../../core/wire/answer.ts'
import { fieldValue, type RequestHead, type WireProblem } from '../../core/wire/request-head.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { admitUnasked, judgeHead } from './judge.ts'
import type { ProxyContext } from './proxy-context.ts'

/** What the listener itself can hand to clients (`clients.files`), in origin-form: `http://GATEWAY:3128/ca.pem`. */
const FILES = {
  'ca.pem': { type: 'application/x-pem-file', make: caPem },
  'proxy.pac': { type: 'application/x-ns-proxy-autoconfig', make: proxyPac },
  'env.sh': { type: 'text/x-shellscript', make: envScript },
} as const

type FileName = keyof typeof FILES

/** Whether the request is for a file that is switched on. Any other is judged like all requests. */
export function asksForFile({ connection, generation }: Exchange, head: RequestHead): boolean {
  if (connection.session !== undefined || connection.original !== undefined || !READING.includes(head.method)) return false
  const name = fileNamed(head.target)
  return name !== undefined && generation.config.clients.files.includes(name)
}

function fileNamed(target: string): FileName | undefined {
  return (Object.keys(FILES) as FileName[]).find((name) => target === `/${name}`)
}

/**
 * The file, or why there is none. Every client that may use the gateway gets it without credentials: it has none before it is set up, and
 * nothing in a file is secret.
 */
export async function answerWithFile(
  context: ProxyContext,
  exchange: Exchange,
  head: RequestHead,
): Promise<Result<Answer, Refusal | WireProblem>> {
  const barred = await admitUnasked(context, exchange)
  if (barred !== undefined) return err(barred)
  const judged = judgeHead(exchange, head)
  if (!judged.ok) return judged
  if (judged.value.framing.kind !== 'none')
    return err({ reason: 'malformed_request', detail: 'a request for a file has no body' })
  exchange.pathAndQuery = head.target
  const name = fileNamed(head.target)
  if (name === undefined) return err({ reason: 'not_a_proxy_request', detail: 'there is no such file' })
  const { type, make } = FILES[name]
  const text = make(exchange, head)
  return text.ok ? ok(fileAnswer(type, text.value)) : text
}

const NO_CA = 'there is no usable CA to hand out: `sallyport check` says why, `sallyport ca init` makes one'

const READING = ['GET', 'HEAD']

function caPem({ generation: { inspection } }: Exchange): Result<string, Refusal> {
  if (inspection === undefined) return err({ reason: 'inspection_unavailable', detail: NO_CA })
  return ok(inspection.authority.trustPem)
}

function proxyPac(exchange: Exchange, head: RequestHead): Result<string, WireProblem> {
  const settings = settingsFor(exchange, head)
  return settings.ok ? ok(pacScript(settings.value)) : settings
}

/** With the CA where it is handed out too: clients that are inspected need it, and it is only a step further. */
function envScript(exchange: Exchange, head: RequestHead): Result<string, WireProblem> {
  const settings = settingsFor(exchange, head)
  if (!settings.ok) return settings
  const { url } = settings.value
  const { inspection, config } = exchange.generation
  const hasCa = inspection !== undefined && config.clients.files.includes('ca.pem')
  return ok(
    [
      `# Proxy settings of this gateway: . <(curl -fsS --noproxy '*' ${url}/env.sh)`,
      ...(hasCa ? [`# The CA of its inspection, for the system's trust store: ${url}/ca.pem`] : []),
      ...shellExports(settings.value),
      '',
    ].join('\n'),
  )
}

/** The gateway under the name that the client has just reached it by; without one, by the address. */
function settingsFor(
  { connection, generation, policy }: Exchange,
  { rawHeaders }: RequestHead,
): Result<ProxySettings, WireProblem> {
  const { config } = generation
  const scheme = connection.isConfidential ? 'https' : 'http'
  const { localAddress = '', localPort = config.listen.proxy.port } = connection.socket
  const address = parseIp(localAddress.replace(/%.*$/, ''))
  const own = address?.family === 6 ? `[${address.text}]:${localPort}` : `${address?.text}:${localPort}`
  const authority = parseAuthority(fieldValue(rawHeaders, 'host') ?? own, scheme === 'https' ? 443 : 80)
  if (!authority.ok) return err({ reason: 'malformed_request', detail: 'Host is not valid' })
  return ok({ url: `${scheme}://${formatAuthority(authority.value)}`, noProxy: directNames(config, policy) })
}

function fileAnswer(type: string, text: string): Answer {
  return {
    status: 200,
    reasonPhrase: 'OK',
    fields: [
      ['Content-Type', type],
      ['Content-Length', String(Buffer.byteLength(text))],
      ['X-Content-Type-Options', 'nosniff'],
      // The next one is already in it when the CA or the policy is replaced.
      ['Cache-Control', 'no-cache'],
    ],
    body: text,
  }
}
