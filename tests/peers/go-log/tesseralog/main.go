// Command tesseralog is a Tessera log that publishes a checkpoint only once the witnesses of a policy file have cosigned
// it.
//
//	tesseralog FOLDER KEY-FILE POLICY-FILE ENTRIES
//
// It opens or creates the log in FOLDER, appends so many entries, waits until each is published, and prints the newest
// checkpoint.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "tesseralog:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, folder, keyFile, policyFile, entries string) error {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	policy, err := os.ReadFile(policyFile)
	if err != nil {
		return err
	}
	witnesses, err := tessera.NewWitnessGroupFromPolicy(policy)
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(entries)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(200*time.Millisecond).
		WithBatching(16, 50*time.Millisecond).
		WithWitnesses(witnesses, &tessera.WitnessOptions{Timeout: 5 * time.Second})
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	await := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)
	for i := 0; i < count; i++ {
		entry := fmt.Sprintf("entry %d of %d", i, time.Now().UnixNano())
		if _, _, err := await.Await(ctx, appender.Add(ctx, tessera.NewEntry([]byte(entry)))); err != nil {
			return err
		}
	}
	if err := shutdown(ctx); err != nil {
		return err
	}
	checkpoint, err := reader.ReadCheckpoint(ctx)
	if err != nil {
		return err
	}
	fmt.Print(string(checkpoint))
	return nil
}
