import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ServerCertificate {
  readonly cert: string
  readonly key: string
}

/** A throwaway CA made with openssl, in a folder of its own. */
export class OpensslCa {
  readonly folder = mkdtempSync(join(tmpdir(), 'sallyport-ca-'))
  readonly certificateFile = join(this.folder, 'ca.pem')
  readonly keyFile = join(this.folder, 'ca.key')
  #serial = 1

  constructor(name = 'Throwaway Root') {
    this.#openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '30',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      this.keyFile,
      '-out',
      this.certificateFile,
    )
    chmodSync(this.keyFile, 0o600)
  }

  get pem(): string {
    return readFileSync(this.certificateFile, 'utf8')
  }

  get keyPem(): string {
    return readFileSync(this.keyFile, 'utf8')
  }

  /** @param san as openssl writes it, `DNS:origin.test` or `IP:127.0.0.1` */
  issue(san: string, days: readonly string[] = ['-days', '10']): ServerCertificate {
    const base = join(this.folder, `leaf-${this.#serial++}`)
    writeFileSync(`${base}.ext`, `subjectAltName=${san}\n`)
    this.#openssl(
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      '/CN=leaf',
      '-keyout',
      `${base}.key`,
      '-out',
      `${base}.csr`,
    )
    this.#openssl(
      'x509',
      '-req',
      '-in',
      `${base}.csr`,
      '-CA',
      this.certificateFile,
      '-CAkey',
      this.keyFile,
      '-CAcreateserial',
      ...days,
      '-extfile',
      `${base}.ext`,
      '-out',
      `${base}.pem`,
    )
    return { cert: readFileSync(`${base}.pem`, 'utf8'), key: readFileSync(`${base}.key`, 'utf8') }
  }

  /** A client's certificate. @param subject as openssl writes it, `/CN=worker-1`; san as for `issue`, or none */
  issueClient(
    subject: string,
    san?: string,
    days: readonly string[] = ['-days', '10'],
  ): ServerCertificate & { readonly base: string } {
    const base = join(this.folder, `client-${this.#serial++}`)
    writeFileSync(`${base}.ext`, `extendedKeyUsage=clientAuth\n${san === undefined ? '' : `subjectAltName=${san}\n`}`)
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${base}.key`]
    this.#openssl('req', '-new', ...key, '-subj', subject, '-out', `${base}.csr`)
    const ca = ['-CA', this.certificateFile, '-CAkey', this.keyFile, '-CAcreateserial']
    this.#openssl('x509', '-req', '-in', `${base}.csr`, ...ca, ...days, '-extfile', `${base}.ext`, '-out', `${base}.pem`)
    chmodSync(`${base}.key`, 0o600)
    return { cert: readFileSync(`${base}.pem`, 'utf8'), key: readFileSync(`${base}.key`, 'utf8'), base }
  }

  /** The revocation list of this CA with these certificates on it, as PEM. @param days until it is due for renewal; -1 is overdue */
  revocationList(revoked: readonly { readonly base: string }[], days = 30): string {
    const base = join(this.folder, `crl-${this.#serial++}`)
    const rows = revoked.map(({ base: of }) => {
      const serial = execFileSync('openssl', ['x509', '-in', `${of}.pem`, '-noout', '-serial'], { encoding: 'utf8' })
      return `R\t350101000000Z\t250101000000Z\t${serial.trim().replace('serial=', '')}\tunknown\t/CN=gone\n`
    })
    writeFileSync(`${base}.txt`, rows.join(''))
    writeFileSync(`${base}.cnf`, `[ca]\ndefault_ca=own\n[own]\ndatabase=${base}.txt\ndefault_md=sha256\ndefault_crl_days=30\n`)
    const due = new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]/g, '').slice(2, 14)
    const last = new Date(Date.now() - 2 * 86_400_000).toISOString().replace(/[-:T]/g, '').slice(2, 14)
    const validity = ['-crl_lastupdate', `${last}Z`, '-crl_nextupdate', `${due}Z`]
    const signer = ['-cert', this.certificateFile, '-keyfile', this.keyFile]
    this.#openssl('ca', '-config', `${base}.cnf`, '-gencrl', ...signer, ...validity, '-out', `${base}.pem`)
    return readFileSync(`${base}.pem`, 'utf8')
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #openssl(...words: string[]): void {
    execFileSync('openssl', words, { stdio: 'pipe' })
  }
}
