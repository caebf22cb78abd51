package main

import (
	"encoding/base64"
	"os"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// readProof checks a C2SP tlog-proof of an entry: the log signed the checkpoint in it, and the entry is in that tree.
func readProof(args []string) (any, error) {
	if err := arguments(args, 3, true); err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(args[0])
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		return nil, err
	}
	entry, err := os.ReadFile(args[2])
	if err != nil {
		return nil, err
	}
	var claim proof.TLogProof
	if err := claim.Unmarshal(text); err != nil {
		return nil, err
	}
	checkpoint, _, _, err := log.ParseCheckpoint(claim.Checkpoint, verifier.Name(), verifier)
	if err != nil {
		return nil, err
	}
	path := make([][]byte, len(claim.Hashes))
	for i := range claim.Hashes {
		path[i] = claim.Hashes[i][:]
	}
	hasher := rfc6962.DefaultHasher
	leaf := hasher.HashLeaf(entry)
	if err := merkle.VerifyInclusion(hasher, claim.Index, checkpoint.Size, leaf, path, checkpoint.Hash); err != nil {
		return nil, err
	}
	return map[string]any{
		"index": claim.Index, "size": checkpoint.Size, "root": base64.StdEncoding.EncodeToString(checkpoint.Hash),
	}, nil
}
