// Package rfc6962 is what the witness asks of the tree hash.
package rfc6962

import "crypto/sha256"

// Hasher is SHA-256 as RFC 6962 uses it.
type Hasher struct{}

// DefaultHasher is the only one.
var DefaultHasher = Hasher{}

// EmptyRoot is the root of the tree without leaves.
func (Hasher) EmptyRoot() []byte {
	root := sha256.Sum256(nil)
	return root[:]
}
