// The one import of zod: schemas of the config file, the catalogue, the hints and the audit event are written with it.
export { z } from 'zod'
