package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/fxamacker/cbor/v2"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/veraison/go-cose"
)

// Labels of RFC 9942, and the claim `iss` of RFC 8392.
const (
	labelVDS       = int64(395)
	labelVDP       = int64(396)
	rfc9162SHA256  = int64(1)
	labelInclusion = int64(-1)
	claimIssuer    = int64(1)
)

// inclusionProof is that of RFC 9942, Section 5.2.
type inclusionProof struct {
	_         struct{} `cbor:",toarray"`
	TreeSize  uint64
	LeafIndex uint64
	Path      [][]byte
}

// readReceipt checks a receipt of inclusion of an entry as RFC 9942 says: the proof gives a root, and the log signed
// that root, which the receipt itself does not hold.
func readReceipt(args []string) (any, error) {
	if err := arguments(args, 3, true); err != nil {
		return nil, err
	}
	key, err := publicKey(args[0])
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(args[1])
	if err != nil {
		return nil, err
	}
	entry, err := os.ReadFile(args[2])
	if err != nil {
		return nil, err
	}
	var message cose.Sign1Message
	if err := message.UnmarshalCBOR(data); err != nil {
		return nil, err
	}
	if message.Payload != nil {
		return nil, errors.New("the payload is not detached")
	}
	if message.Headers.Protected[labelVDS] != rfc9162SHA256 {
		return nil, fmt.Errorf("the verifiable data structure is %v", message.Headers.Protected[labelVDS])
	}
	inclusion, err := soleProof(message.Headers.Unprotected[labelVDP])
	if err != nil {
		return nil, err
	}
	hasher := rfc6962.DefaultHasher
	leaf := hasher.HashLeaf(entry)
	root, err := merkle.RootFromInclusionProof(hasher, inclusion.LeafIndex, inclusion.TreeSize, leaf, inclusion.Path)
	if err != nil {
		return nil, err
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmEdDSA, key)
	if err != nil {
		return nil, err
	}
	message.Payload = root
	if err := message.Verify(nil, verifier); err != nil {
		return nil, err
	}
	claims, _ := message.Headers.Protected[cose.HeaderLabelCWTClaims].(map[any]any)
	return map[string]any{
		"index": inclusion.LeafIndex, "size": inclusion.TreeSize, "root": base64.StdEncoding.EncodeToString(root),
		"issuer": claims[claimIssuer],
	}, nil
}

// soleProof takes the one inclusion proof out of the map of proofs.
func soleProof(proofs any) (inclusionProof, error) {
	var proof inclusionProof
	byType, _ := proofs.(map[any]any)
	inclusion, _ := byType[labelInclusion].([]any)
	if len(byType) != 1 || len(inclusion) != 1 {
		return proof, fmt.Errorf("not one inclusion proof, but %v", proofs)
	}
	encoded, ok := inclusion[0].([]byte)
	if !ok {
		return proof, errors.New("the inclusion proof is no byte string")
	}
	return proof, cbor.Unmarshal(encoded, &proof)
}

// publicKey is the Ed25519 key of a C2SP vkey.
func publicKey(vkey string) (ed25519.PublicKey, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("no vkey")
	}
	typed, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	if len(typed) != 1+ed25519.PublicKeySize || typed[0] != 1 {
		return nil, errors.New("no Ed25519 vkey")
	}
	return ed25519.PublicKey(typed[1:]), nil
}
