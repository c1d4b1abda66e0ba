// Package behaviours runs the table of what every SDK does, tests/sdk/behaviours.yaml, with this SDK against the real daemon.
// It is a module of its own, so that the SDK does not depend on a YAML library.
package behaviours
