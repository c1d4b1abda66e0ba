// Package aegisv1 is generated from proto/aegis/v1 by clients/generate: the API as it is, for what package aegis has no
// method for.
package aegisv1
