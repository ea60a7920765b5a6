import { randomBytes, scryptSync } from 'node:crypto'

/** A line of a credentials file, with a hash that takes a millisecond. */
export function userLine(user: string, password: string): string {
  const salt = randomBytes(16)
  const hash = scryptSync(password, salt, 32, { N: 1024, r: 8, p: 1 })
  return `${user}:scrypt$1024$8$1$${salt.toString('base64')}$${hash.toString('base64')}`
}

/** The field that carries them, as it stands in a request. */
export function basic(user: string, password: string): string {
  return `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}\r\n`
}
