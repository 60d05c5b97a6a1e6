#!/bin/sh
# Make a certificate authority and a broker certificate signed by it.
#
#   deploy/mosquitto/make-certificates.sh FOLDER NAME...
#
# NAME is a host name or IP address that nodes use for the broker. Copy ca.crt to every node
# (mqtt.ca_file). server.crt and server.key stay on the broker. Move ca.key to a safe place: it is
# needed only for new certificates. Another run with ca.key renews the broker's certificate.
set -eu

[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }
umask 077
mkdir -p "$1"
cd "$1"
shift

names=
for name in "$@"; do
    case $name in
        *[!0-9.]*) case $name in *:*) kind=IP ;; *) kind=DNS ;; esac ;;
        *) kind=IP ;;
    esac
    names=${names:+$names,}$kind:$name
done

new_key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
if [ ! -e ca.key ]; then
    # shellcheck disable=SC2086 # several words
    openssl req -x509 $new_key -keyout ca.key -out ca.crt -days 7300 -subj "/CN=Auscult CA" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 \
        -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
fi
# shellcheck disable=SC2086
openssl req $new_key -keyout server.key -out server.csr -subj "/CN=$1" 2>/dev/null
{
    echo "subjectAltName=$names"
    echo "basicConstraints=critical,CA:FALSE"
    echo "keyUsage=critical,digitalSignature"
    echo "extendedKeyUsage=serverAuth"
} >server.ext
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 \
    -extfile server.ext -out server.crt 2>/dev/null
rm -f server.csr server.ext
chmod 0644 ca.crt server.crt
echo "made $(pwd)/server.crt for $names" >&2
