import { err, ok, type Result } from '../../core/result.ts'
import type { Answer } from '../../core/wire/answer.ts'
import type { RequestHead, WireProblem } from '../../core/wire/request-head.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { admit, judgeHead } from './judge.ts'
import type { ProxyContext } from './proxy-context.ts'

/**
 * Whether the request is for a file that the listener itself hands to clients (`clients.files`), in plain HTTP and origin-form:
 * `http://GATEWAY:3128/ca.pem`. Any other is judged like all requests.
 */
export function asksForFile({ connection, generation }: Exchange, head: RequestHead): boolean {
  if (
    connection.session !== undefined ||
    connection.original !== undefined ||
    head.target !== '/ca.pem' ||
    !READING.includes(head.method)
  )
    return false
  return generation.config.clients.files.includes('ca.pem')
}

/** The file, or why there is none. Only clients that may use the gateway get it, and nothing in it is secret. */
export async function answerWithFile(
  context: ProxyContext,
  exchange: Exchange,
  head: RequestHead,
): Promise<Result<Answer, Refusal | WireProblem>> {
  const barred = await admit(context, exchange)
  if (barred !== undefined) return err(barred)
  const judged = judgeHead(exchange, head)
  if (!judged.ok) return judged
  if (judged.value.framing.kind !== 'none')
    return err({ reason: 'malformed_request', detail: 'a request for a file has no body' })
  exchange.pathAndQuery = head.target
  const { inspection } = exchange.generation
  if (inspection === undefined) return err({ reason: 'inspection_unavailable', detail: NO_CA })
  return ok(fileAnswer(inspection.authority.trustPem))
}

const NO_CA = 'there is no usable CA to hand out: `sallyport check` says why, `sallyport ca init` makes one'

const READING = ['GET', 'HEAD']

function fileAnswer(pem: string): Answer {
  return {
    status: 200,
    reasonPhrase: 'OK',
    fields: [
      ['Content-Type', 'application/x-pem-file'],
      ['Content-Length', String(Buffer.byteLength(pem))],
      ['X-Content-Type-Options', 'nosniff'],
      // The next one is already in it when the CA is replaced.
      ['Cache-Control', 'no-cache'],
    ],
    body: pem,
  }
}
