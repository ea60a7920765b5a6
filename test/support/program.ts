import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, it } from 'vitest'

/** Where a program's Debian package has another name. */
const DEBIAN_PACKAGES: Readonly<Record<string, string>> = {
  'apt-get': 'apt',
  certutil: 'libnss3-tools',
  'dpkg-deb': 'dpkg',
  'gnutls-cli': 'gnutls-bin',
  ip: 'iproute2',
  nft: 'nftables',
  nsenter: 'util-linux',
  pip3: 'python3-pip',
  setpriv: 'util-linux',
  'systemd-analyze': 'systemd',
  unshare: 'util-linux',
}

/**
 * The path of a program that tests run and the project does not bring along; `undefined` where it is not installed.
 * In CI (`CI=true`) that is an error: there a skipped test would never be missed.
 */
export function requireProgram(name: string, debianPackage: string = DEBIAN_PACKAGES[name] ?? name): string | undefined {
  const found = findProgram(name)
  if (found === undefined && process.env['CI'] === 'true') throw new Error(missing(name, debianPackage))
  return found
}

/** The path of a program, where it is installed. */
export function findProgram(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

/** `it` for tests that need the program; where it is missing they are skipped, and their titles say why. */
export function itWith(
  name: string,
  debianPackage: string = DEBIAN_PACKAGES[name] ?? name,
): (title: string, test: () => void | Promise<void>) => void {
  if (requireProgram(name, debianPackage) !== undefined) return (title, test) => it(title, test)
  return (title, test) => it.skip(`${title} (skipped: ${missing(name, debianPackage)})`, test)
}

/** `describe` for tests that need programs; where one is missing they are skipped, and the title says which. */
export function describeWith(names: readonly string[], tests: () => void): void {
  const absent = names.filter((name) => requireProgram(name) === undefined).map((name) => missing(name))
  const title = names.join(', ')
  if (absent.length === 0) describe(title, tests)
  else describe.skip(`${title} (skipped: ${absent.join('; ')})`, tests)
}

function missing(name: string, debianPackage: string = DEBIAN_PACKAGES[name] ?? name): string {
  return `\`${name}\` is not installed; apt-get install ${debianPackage}`
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
