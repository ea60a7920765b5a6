/** One answer as a client reads it off the wire. */
export interface WireAnswer {
  readonly status: number
  readonly reasonPhrase: string
  /** By lower-case name; a repeated field's values are joined with `, `. */
  readonly fields: ReadonlyMap<string, string>
  readonly body: string
  /** Whether its framing says that all of it is there. */
  readonly complete: boolean
}

/**
 * Splits what came back on a connection into answers, by the framing rules a client uses (RFC 9112 section 6.3). Strict on
 * purpose: a gateway whose answers cannot be told apart has desynchronised its client.
 *
 * @param text latin1, so that one character is one byte
 * @param methods of the requests in order; an answer to HEAD has no body
 * @param closed whether the connection has ended, which completes an answer without framing
 */
export function readAnswers(text: string, methods: readonly string[] = [], closed = true): WireAnswer[] {
  const answers: WireAnswer[] = []
  let final = 0
  for (let rest = text; rest !== ''; ) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) throw new Error(`no end of head in ${JSON.stringify(rest.slice(0, 200))}`)
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n')
    const match = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(statusLine)
    if (match === null) throw new Error(`not a status line: ${JSON.stringify(statusLine.slice(0, 200))}`)
    const fields = readFields(lines)
    const status = Number(match[1])
    const hasBody = status >= 200 && status !== 204 && status !== 304 && methods[final] !== 'HEAD'
    const framed = hasBody
      ? readBody(rest.slice(end + 4), fields, closed)
      : { body: '', complete: true, rest: rest.slice(end + 4) }
    answers.push({ status, reasonPhrase: match[2] ?? '', fields, body: framed.body, complete: framed.complete })
    if (status >= 200) final++
    rest = framed.rest
  }
  return answers
}

function readFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon <= 0) throw new Error(`not a field: ${JSON.stringify(line)}`)
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const known = fields.get(name)
    fields.set(name, known === undefined ? value : `${known}, ${value}`)
  }
  return fields
}

function readBody(rest: string, fields: ReadonlyMap<string, string>, closed: boolean) {
  const length = fields.get('content-length')
  const encoding = fields.get('transfer-encoding')
  if (length !== undefined && encoding !== undefined) throw new Error('an answer with two framings')
  if (length !== undefined) {
    const body = rest.slice(0, Number(length))
    return { body, complete: body.length === Number(length), rest: rest.slice(body.length) }
  }
  return encoding === 'chunked' ? readChunks(rest) : { body: rest, complete: closed, rest: '' }
}

function readChunks(text: string) {
  let body = ''
  for (let rest = text; ; ) {
    const line = /^([0-9a-f]+)\r\n/i.exec(rest)
    if (line === null) return { body, complete: false, rest: '' }
    const size = Number.parseInt(line[1] ?? '', 16)
    const chunk = rest.slice(line[0].length, line[0].length + size)
    body += chunk
    const after = rest.slice(line[0].length + size)
    if (!after.startsWith('\r\n')) return { body, complete: false, rest: '' }
    rest = after.slice(2)
    if (size === 0) return { body, complete: true, rest }
  }
}
