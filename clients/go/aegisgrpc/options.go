package aegisgrpc

import (
	"reflect"

	"google.golang.org/grpc"
)

// harmless are gRPC's options that change neither what is sent nor to whom. Some are not exported, so they stand here by name.
var harmless = map[string]bool{
	"EmptyCallOption": true, "StaticMethodCallOption": true, "HeaderCallOption": true, "TrailerCallOption": true, "PeerCallOption": true,
	"FailFastCallOption": true, "OnFinishCallOption": true, "MaxRecvMsgSizeCallOption": true, "MaxSendMsgSizeCallOption": true,
	"PerRPCCredsCallOption": true, "CompressorCallOption": true, "acceptCompressorsCallOption": true, "MaxRetryRPCBufferSizeCallOption": true,
}

var (
	callOption  = reflect.TypeFor[grpc.CallOption]()
	grpcPackage = reflect.TypeFor[grpc.EmptyCallOption]().PkgPath()

	authority      = reflect.TypeFor[grpc.AuthorityOverrideCallOption]()
	contentSubtype = reflect.TypeFor[grpc.ContentSubtypeCallOption]()
	codecs         = map[reflect.Type]bool{
		reflect.TypeFor[grpc.ForceCodecCallOption](): true, reflect.TypeFor[grpc.ForceCodecV2CallOption](): true,
		reflect.TypeFor[grpc.CustomCodecCallOption](): true,
	}
)

// checkOption refuses an option by which a call goes elsewhere than to the target, or sends something else than is shown. A type of
// another package is an option only through one of gRPC's that it embeds: that one is looked at.
func checkOption(option reflect.Value) error {
	for option.Kind() == reflect.Pointer || option.Kind() == reflect.Interface {
		if option.IsNil() {
			return refused("an option of the call is nil")
		}
		option = option.Elem()
	}
	of := option.Type()
	switch {
	case of == authority:
		return refused("the call names another authority, %s: a rule about the target could be dodged by it", option.FieldByName("Authority"))
	case of == contentSubtype:
		if codec := option.FieldByName("ContentSubtype").String(); codec != "" && codec != "proto" {
			return refused("the codec %.40q writes the message, and what it writes cannot be shown", codec)
		}
		return nil
	case codecs[of]:
		return refused("a codec of the caller's writes the message, and what it writes cannot be shown")
	case of.PkgPath() == grpcPackage && harmless[of.Name()]:
		return nil
	}
	found := false
	for i := 0; of.Kind() == reflect.Struct && i < of.NumField(); i++ {
		field := of.Field(i)
		if !field.Anonymous || !field.Type.Implements(callOption) && !reflect.PointerTo(field.Type).Implements(callOption) {
			continue
		}
		found = true
		if err := checkOption(option.Field(i)); err != nil {
			return err
		}
	}
	if !found {
		return refused("the option %s of the call is not known here, and might change what is sent", of)
	}
	return nil
}
