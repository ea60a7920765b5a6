/** User and password as a client sent them; neither has been believed. */
export interface SentCredentials {
  readonly user: string
  readonly password: string
}

/** RFC 7617 section 2: everything up to the first colon is the user. Undefined where the value is anything else. */
export function readBasic(value: string): SentCredentials | undefined {
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(value) ?? []
  if (encoded === undefined) return undefined
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(encoded, 'base64'))
  } catch {
    return undefined
  }
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) }
}
