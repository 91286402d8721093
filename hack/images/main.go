// SPDX-License-Identifier: Apache-2.0

// Command images builds the project's container images without a container
// engine, and pushes them:
//
//	go run ./hack/images build [NAME...]   writes dist/images/NAME.tar
//	go run ./hack/images push [NAME...]    builds, then writes to the registry
//
// Names are operator, controlplane, proxy, bookinfo and echo; none means all.
// The registry and the tag come from flags, or from IMAGE_REGISTRY and TAG.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/meshwright/meshwright/hack/envoy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// options are what every subcommand needs.
type options struct {
	registry, tag, revision string
	output, cache           string
	plain                   bool
}

func command() *cobra.Command {
	o := options{registry: fromEnv("IMAGE_REGISTRY", "ghcr.io/meshwright"), tag: fromEnv("TAG", "v0.1.0"), output: filepath.Join("dist", "images")}
	root := &cobra.Command{
		Use:           "images",
		Short:         "Build and push the container images without a container engine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := root.PersistentFlags()
	f.StringVar(&o.registry, "registry", o.registry, "registry and path before the image's name (env IMAGE_REGISTRY)")
	f.StringVar(&o.tag, "tag", o.tag, "tag of all images (env TAG)")
	f.StringVar(&o.revision, "revision", "", "source revision for the label org.opencontainers.image.revision")
	f.StringVar(&o.output, "output", o.output, "directory of the image files")
	f.StringVar(&o.cache, "cache", "", "cache directory (default ~/.cache/meshwright)")
	root.AddCommand(&cobra.Command{
		Use:   "build [NAME...]",
		Short: "Write each image to a file that container runtimes import",
		RunE:  func(cmd *cobra.Command, names []string) error { return buildAll(cmd.Context(), o, names) },
	})
	push := &cobra.Command{
		Use:   "push [NAME...]",
		Short: "Build, and write to the registry with the credentials of ~/.docker/config.json",
		RunE:  func(cmd *cobra.Command, names []string) error { return pushAll(cmd.Context(), o, names) },
	}
	push.Flags().BoolVar(&o.plain, "plain-http", false, "the registry speaks plain HTTP")
	root.AddCommand(push)
	return root
}

func fromEnv(key, fallback string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return fallback
}

func buildAll(ctx context.Context, o options, names []string) error {
	b, specs, err := prepare(o, names)
	if err != nil {
		return err
	}
	for _, s := range specs {
		start := time.Now()
		img, err := b.image(ctx, s)
		if err != nil {
			return fmt.Errorf("build image %s: %w", s.name, err)
		}
		path := filepath.Join(o.output, s.name+".tar")
		digest, err := writeFile(img, b.reference(s), path)
		if err != nil {
			return fmt.Errorf("write image %s: %w", s.name, err)
		}
		fmt.Printf("%-13s %s  %s  %.1fs\n", s.name, digest, path, time.Since(start).Seconds())
	}
	return nil
}

func pushAll(ctx context.Context, o options, names []string) error {
	b, specs, err := prepare(o, names)
	if err != nil {
		return err
	}
	for _, s := range specs {
		start := time.Now()
		img, err := b.image(ctx, s)
		if err != nil {
			return fmt.Errorf("build image %s: %w", s.name, err)
		}
		var opts []name.Option
		if o.plain {
			opts = append(opts, name.Insecure)
		}
		ref, err := name.ParseReference(b.reference(s), opts...)
		if err != nil {
			return fmt.Errorf("image reference (check IMAGE_REGISTRY and TAG): %w", err)
		}
		if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("push %s (are you logged in to the registry?): %w", ref, err)
		}
		digest, err := img.Digest()
		if err != nil {
			return fmt.Errorf("digest of %s: %w", ref, err)
		}
		fmt.Printf("%s@%s  %.1fs\n", ref, digest, time.Since(start).Seconds())
	}
	return nil
}

func prepare(o options, names []string) (*builder, []spec, error) {
	specs, err := selected(names)
	if err != nil {
		return nil, nil, err
	}
	if o.cache == "" {
		if o.cache, err = envoy.CacheDir(); err != nil {
			return nil, nil, err
		}
	}
	for _, dir := range []string{o.output, filepath.Join(o.cache, "layers")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, nil, fmt.Errorf("make the directory %s: %w", dir, err)
		}
	}
	return &builder{options: o}, specs, nil
}
